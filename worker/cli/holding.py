"""freeze and unfreeze: whether an app may be deployed by itself."""

import logging

import click

from worker import aftermath
from worker.cli import output, running
from worker.cli.commands import Command
from worker.cli.screen import Lines
from worker.cli.session import Session, pass_session, person
from worker.clock import rfc3339
from worker.deployment import Deployment, new_id
from worker.errors import HeldError, UnavailableError
from worker.jobs import Runner

log = logging.getLogger(__name__)


@click.command(cls=Command)
@click.argument("app")
@click.option("--reason", default="frozen by hand", show_default=True, help="Shown to all.")
@pass_session
def freeze(session: Session, app: str, reason: str) -> None:
    """Deploy nothing of APP until `unfreeze`, but with --force. Pushes are skipped meanwhile."""
    with running.held(session, app, Lines()) as runner:
        _refuse_inconsistent(runner)
        at = rfc3339(runner.clock.now())
        runner.decisions.hold("frozen", by=person(), at=at, reason=reason, head=None)
        log.info("app.frozen", extra={"app": app, "by": person(), "reason": reason})
        _show(runner)
        hold = runner.decisions.read()["hold"]
    session.answer({"app": app, "hold": hold}, [f"{app} is frozen: {reason}"])


@click.command(cls=Command)
@click.argument("app")
@pass_session
def unfreeze(session: Session, app: str) -> None:
    """End APP's freeze. A worker then deploys the branch's head, if that was not decided."""
    with running.held(session, app, Lines()) as runner:
        _refuse_inconsistent(runner)
        if frozen := (runner.decisions.read()["hold"] or {}).get("kind") == "frozen":
            queued = _queue_head(runner)  # first: a freeze must not end with its pushes forgotten
            at = rfc3339(runner.clock.now())
            runner.decisions.lift("frozen", by=person(), at=at)
            log.info("app.unfrozen", extra={"app": app, "by": person()})
            _show(runner)
        hold = runner.decisions.read()["hold"]
    value = {"app": app, "hold": hold, "deployment": queued if frozen else None}
    session.answer(value, [f"{app} is {'no longer' if frozen else 'not'} frozen"])


def _refuse_inconsistent(runner: Runner) -> None:
    hold = runner.decisions.read()["hold"]
    if hold and hold["kind"] == "inconsistent":
        name = runner.app.name
        raise HeldError(
            f"{name} is inconsistent since {hold['at']}, so nothing is deployed by itself:"
            f" {hold['reason']}",
            remedy=f"Mend that first: `sheetanchor restore {name}`, or deploy with --force.",
        )


def _queue_head(runner: Runner) -> str | None:
    """Have a worker look at the branch's head; return the deployment's id.

    Pushes of a frozen app were skipped and GitHub does not send them again. The
    worker finds it within 5 s of the lock's release, and judges the head as usual.
    """
    now = runner.clock.now()
    looking = Deployment(
        id=new_id(now),
        app=runner.app.name,
        kind="deploy",
        trigger="reconcile",
        by=person(),
        queued_at=rfc3339(now),
        reason="the freeze was ended",
        options={"force": False, "pull": True},
    )
    if runner.ledger:
        runner.ledger.accept(looking, guid=None)
        return looking.id
    output.tell(
        "warning: Redis does not answer, so no worker was told of what was pushed meanwhile."
        f" Run `sheetanchor deploy {runner.app.name}`."
    )
    return None


def _show(runner: Runner) -> None:
    try:
        if runner.ledger:
            aftermath.show(runner.app, runner.state, runner.ledger)
    except UnavailableError as error:
        output.tell(f"warning: {error}")
