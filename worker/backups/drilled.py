"""What the last drills found: a fsynced file of the app's state, as `status` shows it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker import durable

if TYPE_CHECKING:
    from worker.backups.drill import Drilled

View = dict[str, Any]


def read(record: Path) -> View | None:
    """Return when a drill last passed, how long a restore took, and what failed since.

    None when there never was a drill.
    """
    return durable.read_or_set_aside(record, _parsed)


def passed(record: Path, done: "Drilled", at: str) -> None:
    """Record a drill that passed; what failed before is over."""
    found = {
        "passed_at": at,
        "backup": done.backup,
        "restore_seconds": done.restore_seconds,
        "documents": done.documents,
        "files": done.files,
        "bytes": done.bytes,
        "failed": None,
    }
    durable.write(record, json.dumps(found).encode())


def failed(record: Path, backup: str | None, why: str, remedy: str, at: str) -> None:
    """Record a drill that failed, beside the last one that passed."""
    failure = {"at": at, "backup": backup, "why": why, "remedy": remedy}
    found = (read(record) or _never()) | {"failed": failure}
    durable.write(record, json.dumps(found).encode())


def _never() -> View:
    keys = ("passed_at", "backup", "restore_seconds", "documents", "files", "bytes")
    return dict.fromkeys(keys)


def _parsed(text: str) -> View:
    found = json.loads(text)
    if not isinstance(found, dict) or not {"passed_at", "failed"} <= found.keys():
        raise ValueError("it is no record of drills")
    return found
