"""Finishes what a dead process left: journals without an end whose lock is free.

Before anything else, what the dead one started is killed, grandchildren too.
Then: nothing begun, forget it; committed, go forward; anything else, the way
back. No half-done forward step is ever resumed.
"""

from collections.abc import Callable, Sequence

from worker.adapters import process
from worker.clock import Clock
from worker.deployment import Status
from worker.errors import DiedError, SheetanchorError, StepError
from worker.journal import Journal, Record, journals
from worker.pipeline import Pipeline
from worker.state import State


def open_journals(state: State, clock: Clock) -> list[Journal]:
    """Return the app's journals that have no end, oldest first."""
    return [journal for journal in journals(state.journals, clock) if not journal.ended()]


def finish(journal: Journal, inherit: Callable[[Journal], Pipeline]) -> Status | None:
    """Bring a dead process's deployment to its end. The caller holds the app's lock.

    `inherit` builds the pipeline of an attempt with the journal's facts. Returns
    None when nothing had begun: then the journal is removed, and a deployment
    that is queued still runs as if for the first time.
    """
    records = journal.records()
    process.kill_marked(journal.path.stem)
    if not any(record["event"] == "intent" for record in records):
        journal.path.unlink()
        return None
    pipeline = inherit(journal)
    if any((r["step"], r["event"]) == ("commit", "done") for r in records):
        return pipeline.finish()
    return pipeline.go_back(_cause(records))


def _cause(records: Sequence[Record]) -> SheetanchorError:
    """Return why the deployment is undone: its own failure if it had one, else the death.

    A version that was unhealthy is so whoever died on its way back.
    """
    for record in records:
        own = record["event"] == "failed" and not record["facts"].get("surroundings")
        if own and record["phase"] == "deploy":
            again = "Its way back was gone on with by another process. Push a mended version."
            return StepError(record["facts"]["failure"], remedy=again)
    return DiedError(
        "The process that ran this deployment died.",
        remedy="Nothing is to do: a worker tries the branch's head again.",
    )
