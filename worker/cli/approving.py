"""approve: lets a revision have the privileges for which it was refused."""

import click

from worker.cli import deploying, output, past
from worker.cli.commands import Command
from worker.cli.session import Session, pass_session, person
from worker.clock import rfc3339
from worker.deployment import refused_for
from worker.jobs import Runner


@click.command(cls=Command)
@click.argument("deployment", metavar="ID")
@pass_session
def approve(session: Session, deployment: str) -> int:
    """Approve the new privileges for which deployment ID was refused, and deploy.

    Or the mounts that it takes away, whose data the app needs no more. Both are
    approved for that one revision. What was asked for is then tried again, here
    and now; for a push that is the branch's head.
    """
    shown, journal = past.with_journal(session, deployment)

    def note(runner: Runner) -> None:
        at = rfc3339(runner.clock.now())
        revision, privileges = runner.orders.approve(shown["id"], by=person(), at=at)
        for one in privileges:
            output.tell(f"approved for {revision[:12]}: {one}")

    reason = f"approved {refused_for(shown)} of {shown['id']}"
    return deploying.try_again(session, journal, reason, first=note)
