"""cancel: ends a deployment that is queued, or runs and has not reached its fence."""

import click

from worker.cancels import Cancel, Cancels
from worker.cli import output, past, running, text
from worker.cli.commands import Command
from worker.cli.screen import Lines
from worker.cli.session import Session, pass_session, person
from worker.clock import SystemClock, rfc3339
from worker.deployment import Deployment, Status
from worker.errors import BusyError, EndedError, NotFoundError
from worker.journal import Journal
from worker.ledger import Ledger
from worker.state import State

LOOKS_EVERY = 0.2  # seconds

_clock = SystemClock()


@click.command(cls=Command)
@click.argument("deployment", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Why, for the history.")
@pass_session
def cancel(session: Session, deployment: str, reason: str | None) -> int:
    """Cancel deployment ID, queued or running, before its fence; nothing is changed then.

    Its head is not deployed again by itself. Once the old version is being
    replaced it is too late: that ends with 4, and changes nothing either.
    """
    ledger = past.ledger(session)
    shown = past.one(session, deployment, ledger)
    if shown["status"] == Status.CANCELLED:
        return _told(session, shown)
    if Status(shown["status"]).final:
        raise EndedError(
            f"Deployment {shown['id']} has ended: {shown['status']}.",
            remedy=f"Look at it with `sheetanchor show {shown['id']}`.",
        )
    state = State.of(session.config, session.app(shown["app"]))
    asked = _order(state, shown, ledger)
    wish = Cancel(asked, by=person(), at=rfc3339(_clock.now()), reason=reason)
    Cancels(state.cancels).ask(wish)
    return _ended(session, state, asked, ledger)


def _order(state: State, shown: past.View, ledger: Ledger | None) -> Deployment:
    """Return what was asked for: of one that runs from its journal, else from the queue."""
    journal = Journal(state.journals / f"{shown['id']}.jsonl", _clock)
    found = journal.deployment()
    queued = ledger.queued(shown["app"]) if ledger and not found else []
    for one in (found, *queued):
        if one and one.id == shown["id"]:
            return one
    raise NotFoundError(
        f"Deployment {shown['id']} is not queued any more.", remedy="Look at it again."
    )


def _ended(session: Session, state: State, asked: Deployment, ledger: Ledger | None) -> int:
    """Wait until it has ended; what waits behind another one is told, and left to its turn."""
    journal = Journal(state.journals / f"{asked.id}.jsonl", _clock)
    while not journal.ended():
        try:
            with running.held(session, asked.app, Lines()):
                pass  # whoever holds the app ends what its dead left, and what was cancelled
        except BusyError:
            if not journal.records():
                output.tell(
                    f"Deployment {asked.id} is cancelled: nothing of it will run. It is recorded"
                    " so as soon as the deployment before it has ended."
                )
                break
            _clock.sleep(LOOKS_EVERY)
    return _told(session, past.one(session, asked.id, ledger))


def _told(session: Session, shown: past.View) -> int:
    session.answer(shown, text.summary(shown))
    status = Status(shown["status"])
    return output.DONE if status in (Status.CANCELLED, Status.QUEUED) else output.code_of(status)
