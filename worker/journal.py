"""The journal: what was about to happen, then what happened. The truth.

A worker can die at any line. Afterwards this file is all that is left, so:

1. Intent first. `intent` is on disk (file and folder) before a step acts.
2. Facts, not objects: whatever the way back needs is in a record's `facts`.
3. One line a record, appended and fsynced. A torn last line is ignored: the
   act it announced had not begun.

A record: `deployment`, `phase` (deploy, way_back, after), `step`, `event`
(intent, done, failed, end), `time` (RFC 3339 UTC), `uptime` (seconds since boot, by a clock
that nobody sets), `pid`, `start_time` (clock ticks since boot, from /proc), `boot_id`,
`facts`. Facts hold no secrets.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worker import durable
from worker.clock import Clock, rfc3339
from worker.deployment import ID, Deployment
from worker.errors import UsageError
from worker.reserve import Reserve

Record = Mapping[str, Any]
Facts = Mapping[str, Any]

RESUME = "resume"  # the step by which a person has an ended way back gone on with


class Journal:
    """The journal of one deployment."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock

    @classmethod
    def begin(cls, folder: Path, deployment: Deployment, clock: Clock) -> "Journal":
        """Start the deployment's journal; its first record is what was asked for.

        Raises FullError when its disk has no room for an end.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        journal = cls(folder / f"{deployment.id}.jsonl", clock)
        journal.reserve.judge()
        if journal.records():
            raise UsageError(
                f"Deployment {deployment.id} has run already.",
                remedy="Deploy again; it gets a new id.",
            )
        journal.append("deploy", "accept", "done", {"deployment": deployment.as_dict()})
        durable.fsync(folder)
        return journal

    def append(self, phase: str, step: str, event: str, facts: Facts | None = None) -> Record:
        """Write one record and return it; it is on disk when this returns."""
        record = {
            "deployment": self.path.stem,
            "phase": phase,
            "step": step,
            "event": event,
            "time": rfc3339(self._clock.now()),
            "uptime": round(self._clock.monotonic(), 3),
            **_process(),
            "facts": dict(facts or {}),
        }
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        self.reserve.spend(lambda: self._add(line))
        return record

    @property
    def reserve(self) -> Reserve:
        """What is given up for a record on a full disk."""
        return Reserve(self.path.parent.with_name("reserve"))

    def _add(self, line: bytes) -> None:
        """Append a line, wholly and on disk, or nothing. Raises OSError."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _drop_torn_line(descriptor)
            whole = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, line)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, whole)
                raise
        finally:
            os.close(descriptor)

    def records(self) -> list[Record]:
        """Return the records, oldest first, without a torn last line."""
        if not self.path.exists():
            return []
        *lines, _torn = self.path.read_bytes().split(b"\n")
        return [json.loads(line) for line in lines]

    def deployment(self) -> Deployment | None:
        """Return what was asked for, or None when not even that was written."""
        records = self.records()
        return Deployment.from_dict(records[0]["facts"]["deployment"]) if records else None

    def reopen(self, *, by: str, reason: str | None, keeps_data: bool = False) -> None:
        """Have the way back that ended `inconsistent` gone on with: the cause is mended.

        With `keeps_data` it leaves the data alone: a person says that it is right.
        """
        kept = {"keeps_data": True} if keeps_data else {}
        self.append("way_back", RESUME, "done", {"by": by, "reason": reason, **kept})

    def check(self) -> None:
        """Raise ValueError, KeyError or TypeError for what no deployment of ours wrote so."""
        self.deployment()
        for record in self.records():
            _ = (
                record["phase"],
                record["step"],
                record["event"],
                record["time"],
                {**record["facts"]},
            )

    def ended(self) -> bool:
        """Return whether the deployment has its final status."""
        return any(record["event"] == "end" for record in self.records()[-1:])


def since_resumed(records: Sequence[Record]) -> Sequence[Record]:
    """Return the records from the last resume on; none when nobody resumed it."""
    places = [number for number, one in enumerate(records) if one["step"] == RESUME]
    return records[places[-1] :] if places else ()


def journals(folder: Path, clock: Clock) -> list[Journal]:
    """Return an app's journals, oldest first; a person's copy of one is none."""
    paths = sorted(path for path in folder.glob("*.jsonl") if ID.fullmatch(path.stem))
    return [Journal(path, clock) for path in paths]


def _process() -> dict[str, Any]:
    """Return who writes: a pid alone is reused, with start time and boot id it is not."""
    stat = Path("/proc/self/stat").read_text()
    start_time = int(stat.rpartition(")")[2].split()[19])
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"pid": os.getpid(), "start_time": start_time, "boot_id": boot_id}


def _drop_torn_line(descriptor: int) -> None:
    """Cut off what a dead process left of a record, so that ours begins a line."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    end = os.pread(descriptor, size, 0).rfind(b"\n") + 1
    os.ftruncate(descriptor, end)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
