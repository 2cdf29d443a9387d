"""Finishes what a dead process left: journals without an end whose lock is free.

A journal that nobody can read is set aside: in its way nothing else of the app would ever
be done. What it was in the middle of only a person can tell, who is called.

Before anything else, what the dead one started is killed, grandchildren too.
Then: nothing begun, forget it; committed, go forward; anything else, the way
back. No half-done forward step is ever resumed.
"""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from worker import durable
from worker.adapters import process
from worker.clock import Clock, rfc3339
from worker.decisions import Decisions
from worker.deployment import Status
from worker.errors import DiedError, SheetanchorError, StepError, UnavailableError
from worker.journal import Journal, Record, journals
from worker.ledger import Ledger
from worker.ledger.counts import RECOVERY, field
from worker.pipeline import Pipeline
from worker.state import State

log = logging.getLogger(__name__)


def open_journals(state: State, clock: Clock) -> list[Journal]:
    """Return the app's journals that have no end, oldest first."""
    return [journal for journal in journals(state.journals, clock) if not journal.ended()]


def set_aside(app: str, state: State, clock: Clock) -> list[Path]:
    """Set unreadable journals aside; hold the app for those that may be open. Return them all.

    The caller holds the app's lock.
    """
    found = list(_unreadable(journals(state.journals, clock)))
    for path, tail in found:
        if _is_end(tail):
            continue  # whatever else it said is over
        why = (
            f"The journal {path} could not be read, so nobody knows how far deployment {path.stem}"
            f" had come. It lies there still, as {path.name}.unreadable-…. Look at the containers,"
            f" the checkout and the data, then run `sheetanchor resume {app}`, or"
            f" `sheetanchor restore {app}`."
        )
        now = rfc3339(clock.now())
        Decisions(state.decisions).hold("inconsistent", by=None, at=now, reason=why, head=None)
    return [path for path, _ in found]


def _unreadable(there: Sequence[Journal]) -> Iterator[tuple[Path, bytes]]:
    """Yield the path of each that was set aside, and its last whole line."""
    for journal in there:
        tail = journal.path.read_bytes().split(b"\n")[-2:-1]

        def parse(_: str, one: Journal = journal) -> bool:
            one.check()
            return True

        if not durable.read_or_set_aside(journal.path, parse):
            yield journal.path, b"".join(tail)


def _is_end(line: bytes) -> bool:
    with suppress(ValueError, TypeError, KeyError):
        return bool(json.loads(line)["event"] == "end")
    return False


def finish(journal: Journal, inherit: Callable[[Journal], Pipeline]) -> Status | None:
    """Bring a dead process's deployment to its end. The caller holds the app's lock.

    `inherit` builds the pipeline of an attempt with the journal's facts. Returns
    None when nothing had begun: then the journal is removed, and a deployment
    that is queued still runs as if for the first time. Raises FullError when its
    disk has no room for an end.
    """
    records = journal.records()
    process.kill_marked(journal.path.stem)
    if not any(record["event"] == "intent" for record in records):
        journal.path.unlink()
        return None
    journal.reserve.judge()
    pipeline = inherit(journal)
    if any((r["step"], r["event"]) == ("commit", "done") for r in records):
        return pipeline.finish()
    return pipeline.go_back(_cause(records))


def finish_all(
    state: State, clock: Clock, inherit: Callable[[Journal], Pipeline]
) -> list[tuple[str, Status]]:
    """Finish each of the app's open journals, oldest first; return what became of which."""
    dead = open_journals(state, clock)
    found = [(one.path.stem, finish(one, inherit)) for one in dead]
    return [(one, status) for one, status in found if status]


def count(ledger: Ledger | None, app: str, finished: int) -> None:
    """Count what was finished, for graphs; without Redis it is only logged."""
    try:
        if ledger and finished:
            ledger.counts.add({field(RECOVERY, app): finished})
    except UnavailableError as error:
        log.warning("recovery.uncounted", extra={"app": app, "error": str(error)})


def _cause(records: Sequence[Record]) -> SheetanchorError:
    """Return why the deployment is undone: its own failure if it had one, else the death.

    A version that was unhealthy is so whoever died on its way back.
    """
    for record in records:
        own = record["event"] == "failed" and not record["facts"].get("surroundings")
        if own and record["phase"] == "deploy":
            again = "Its way back was gone on with by another process. Push a mended version."
            return StepError(record["facts"]["failure"], remedy=again)
    kind = records[0]["facts"]["deployment"]["kind"]
    return DiedError(
        "The process that ran this deployment died.",
        remedy="Nothing is to do: a worker tries the branch's head again."
        if kind == "deploy"
        else f"Ask for the {kind} again: nobody does that by itself.",
    )
