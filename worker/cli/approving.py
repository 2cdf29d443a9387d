"""approve: lets a revision have the privileges for which it was refused."""

import click

from worker.cli import deploying, output, past
from worker.cli.commands import Command
from worker.cli.session import Session, pass_session, person
from worker.clock import SystemClock, rfc3339
from worker.decisions import PERSONS
from worker.deployment import Deployment
from worker.jobs import Runner
from worker.journal import Journal
from worker.state import State


@click.command(cls=Command)
@click.argument("deployment", metavar="ID")
@pass_session
def approve(session: Session, deployment: str) -> int:
    """Approve the new privileges for which deployment ID was refused, and deploy.

    Or the mounts that it takes away, whose data the app needs no more. Both are
    approved for that one revision. What was asked for is then tried again, here
    and now; for a push that is the branch's head.
    """
    shown = past.one(session, deployment, None)
    state = State.of(session.config, session.app(shown["app"]))
    journal = Journal(state.journals / f"{shown['id']}.jsonl", SystemClock())
    refused = Deployment.from_dict(journal.records()[0]["facts"]["deployment"])

    def note(runner: Runner) -> None:
        at = rfc3339(runner.clock.now())
        revision, privileges = runner.orders.approve(refused.id, by=person(), at=at)
        for one in privileges:
            output.tell(f"approved for {revision[:12]}: {one}")

    asked = asked_again(refused, f"approved the privileges of {refused.id}")
    return deploying.carry_out(
        session, refused.app, refused.kind, refused.options, asked, first=note
    )


def asked_again(refused: Deployment, reason: str) -> dict[str, str | None]:
    """Return what a refused deployment was asked for; of a push, the branch's head."""
    wanted = refused.requested_revision if refused.trigger in PERSONS else None
    return {"requested_revision": wanted, "reason": reason}
