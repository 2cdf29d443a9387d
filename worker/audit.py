"""Who asked what of the API, when and from where: lines of JSON that are only ever added.

No call of the API shows or changes them. `audit.jsonl` has what was done in a token's name,
on disk before it is answered, and is never shortened. `refused.jsonl` has what was refused:
anybody can fill that, so it is a file of its own, and two of MOST bytes are all there is.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST = 5 * 1024 * 1024  # bytes
_ADD = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

Record = Mapping[str, Any]


class Audit:
    """The audit log of a state folder."""

    def __init__(self, state_dir: Path) -> None:
        self.done, self.refused = state_dir / "audit.jsonl", state_dir / "refused.jsonl"

    def add(self, record: Record, *, refused: bool) -> None:
        """Add a record, which has a `time`; on disk when this returns, unless it was refused."""
        path = self.refused if refused else self.done
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(path, _ADD, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.write(file, (json.dumps(record) + "\n").encode())
            if refused:
                _turn(path, file)
            else:
                os.fsync(file)
        finally:
            os.close(file)

    def read(self) -> list[dict[str, Any]]:
        """Return all records, oldest first; a torn line is left out."""
        paths = (self.done, _older(self.refused), self.refused)
        found = [record for path in paths for record in _records(path)]
        return sorted(found, key=lambda one: str(one.get("time")))


def _turn(path: Path, file: int) -> None:
    """Begin a new file when this one is full; the one before goes. Needs the file's lock."""
    stat = os.fstat(file)
    if stat.st_size > MOST and stat.st_ino == path.stat().st_ino:
        path.rename(_older(path))


def _older(path: Path) -> Path:
    return path.with_suffix(".1.jsonl")


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [record for line in lines if (record := _parsed(line))]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
