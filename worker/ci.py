"""What CI said of revisions, as signed deliveries told: small files, until nobody needs them.

A file a result, made once: it does not matter in which order, or how often, deliveries
come, and Redis may lose all it holds. Of each workflow the newest run's newest attempt
counts, so a run that is repeated with success mends what failed before.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

from worker import durable

KEPT = timedelta(days=35)  # longer than GitHub redelivers anything
SUCCESS = "success"
# Of GitHub's conclusions. The others (cancelled, skipped, neutral, stale ...) say nothing.
FAILURES = ("failure", "timed_out", "startup_failure")

Wanted = bool | tuple[str, ...]  # any workflow's success, or that of each of these


class Verdict(Enum):
    """Whether a revision may be deployed by itself."""

    WAITS = "waits"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Result:
    """How one run of a workflow ended; of a check suite the time tells which is newer."""

    revision: str
    kind: str  # workflow_run, check_suite
    workflow: int
    run: int
    attempt: int
    name: str
    conclusion: str


@dataclass(frozen=True)
class Results:
    """The results of one app."""

    folder: Path

    def note(self, result: Result) -> None:
        """Write one; on disk when this returns. The same again changes nothing."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        durable.create(self._path(result), json.dumps(asdict(result)).encode())

    def of(self, revision: str) -> list[Result]:
        """Return the newest of each workflow for a revision."""
        paths = self.folder.glob(f"{revision}.*.json")
        found = [durable.read_or_set_aside(path, _parsed) for path in paths]
        sort = sorted(filter(None, found), key=lambda one: (one.run, one.attempt))
        return list({(one.kind, one.workflow): one for one in sort}.values())

    def sweep(self, now: datetime) -> None:
        """Remove what is old."""
        oldest = (now - KEPT).timestamp()
        for path in self.folder.glob("*.json"):
            if path.stat().st_mtime < oldest:
                path.unlink()

    def _path(self, one: Result) -> Path:
        names = (one.revision, one.kind, one.workflow, one.run, one.attempt)
        return self.folder / f"{'.'.join(map(str, names))}.json"


def judge(wanted: Wanted, results: list[Result]) -> tuple[Verdict, Result | None]:
    """Return the verdict on a revision, and what failed. Pure."""
    if wanted is False:
        return Verdict.PASSED, None
    names = {one.lower() for one in wanted} if isinstance(wanted, tuple) else None
    some = [one for one in results if names is None or one.name.lower() in names]
    failed = next((one for one in some if one.conclusion in FAILURES), None)
    if failed:
        return Verdict.FAILED, failed
    good = {one.name.lower() for one in some if one.conclusion == SUCCESS}
    passed = good if names is None else names <= good
    return (Verdict.PASSED if passed else Verdict.WAITS), None


def _parsed(text: str) -> Result:
    found = Result(**json.loads(text))
    if type(found.run) is not int or type(found.attempt) is not int:
        raise TypeError("run and attempt are to be numbers")
    return found
