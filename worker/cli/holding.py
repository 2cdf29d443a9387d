"""freeze, unfreeze, resume: whether an app may be deployed by itself."""

import click

from worker.cli import output, running
from worker.cli.commands import Command
from worker.cli.screen import Lines
from worker.cli.session import Session, pass_session, person
from worker.clock import rfc3339
from worker.deployment import Status, new_id
from worker.errors import BusyError
from worker.holds import refuse_inconsistent, refuse_lost_data
from worker.requests import FREEZE, RESUME, UNFREEZE, Request, Requests


@click.command(cls=Command)
@click.argument("app")
@click.option("--reason", default="frozen by hand", show_default=True, help="Shown to all.")
@pass_session
def freeze(session: Session, app: str, reason: str) -> None:
    """Deploy nothing of APP until `unfreeze`, but with --force. Pushes are skipped meanwhile.

    While a deployment runs, this and the two others are done once it has ended.
    """
    try:
        with running.held(session, app, Lines()) as runner:
            runner.orders.freeze(by=person(), at=rfc3339(runner.clock.now()), reason=reason)
            runner.show()
            hold = runner.decisions.read()["hold"]
    except BusyError:
        _leave(session, app, FREEZE, reason)
        return
    session.answer({"app": app, "hold": hold}, [f"{app} is frozen: {reason}"])


@click.command(cls=Command)
@click.argument("app")
@click.option("--reason", metavar="TEXT", help="Why, for the record.")
@pass_session
def unfreeze(session: Session, app: str, reason: str | None) -> None:
    """End APP's freeze. A worker then deploys the branch's head, if that was not decided."""
    try:
        _end(session, app, "frozen", reason)
    except BusyError:
        _leave(session, app, UNFREEZE, reason)


@click.command(cls=Command)
@click.argument("app")
@click.option("--reason", metavar="TEXT", help="What was found and mended, for the record.")
@pass_session
def resume(session: Session, app: str, reason: str | None) -> int:
    """Go on from `inconsistent`, once its cause is mended: finish the way back of APP.

    Where the data was not put back, `restore APP` does so; with --reason you say that it
    is right as it is: it stays, and the old version runs on it (where you have the app
    running again, nothing is changed). A worker then deploys the branch's head, if
    that was not decided. (`deploy APP --force` goes on, too, when it succeeds.)
    """
    try:
        return _end(session, app, "inconsistent", reason)
    except BusyError:
        _leave(session, app, RESUME, reason)
    return output.DONE


def _leave(session: Session, app: str, verb: str, reason: str | None) -> None:
    """Have it done by whoever holds the app next: before anything else is deployed.

    Raises HeldError or UsageError where that would be refused anyway.
    """
    runner = running.runner_of(session, app, Lines())
    now, hold = runner.clock.now(), runner.decisions.read()["hold"]
    if verb == RESUME:
        refuse_lost_data(app, hold, reason)
    else:
        refuse_inconsistent(app, hold)
    request = Request(id=new_id(now), verb=verb, by=person(), at=rfc3339(now), reason=reason)
    Requests(runner.state.requests).leave(request)
    said = f"{app}: {verb} will be done when the running deployment has ended."
    session.answer({"app": app, "hold": hold, "request": request.id}, [said])


def _end(session: Session, app: str, kind: str, reason: str | None) -> int:
    with running.held(session, app, Lines()) as runner:
        held = (runner.decisions.read()["hold"] or {}).get("kind") == kind
        at = rfc3339(runner.clock.now())
        looks = runner.orders.end(kind, by=person(), at=at, reason=reason)
        went_on = runner.recover()
        runner.show()
        hold = runner.decisions.read()["hold"]
    if held and not looks:
        output.tell(
            "warning: Redis does not answer, so no worker was told of what was pushed meanwhile."
            f" Run `sheetanchor deploy {app}`."
        )
    still = (hold or {}).get("kind") == kind
    said = [f"Deployment {one}: {status}" for one, status in went_on]
    now = f"still {kind}: {hold['reason']}" if still and hold else f"no longer {kind}"
    said.append(f"{app} is {now if held else f'not {kind}'}")
    session.answer({"app": app, "hold": hold, "deployment": looks}, said)
    return output.code_of(Status.INCONSISTENT) if still else output.DONE
