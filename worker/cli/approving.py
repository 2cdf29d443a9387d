"""approve: lets a revision have the privileges for which it was refused."""

import click

from worker.approvals import Approvals
from worker.cli import deploying, output, past
from worker.cli.commands import Command
from worker.cli.session import Session, pass_session, person
from worker.clock import SystemClock, rfc3339
from worker.decisions import PERSONS
from worker.deployment import Deployment, Status
from worker.errors import UsageError
from worker.jobs import Runner
from worker.journal import Journal
from worker.state import State


@click.command(cls=Command)
@click.argument("deployment", metavar="ID")
@pass_session
def approve(session: Session, deployment: str) -> int:
    """Approve the new privileges for which deployment ID was refused, and deploy.

    They are approved for that one revision. What was asked for is then tried
    again, here and now; for a push that is the branch's head.
    """
    shown = past.one(session, deployment, None)
    state = State.of(session.config, session.app(shown["app"]))
    journal = Journal(state.journals / f"{shown['id']}.jsonl", SystemClock())
    revision, privileges = _refused_for(journal, shown)
    refused = Deployment.from_dict(journal.records()[0]["facts"]["deployment"])

    def note(runner: Runner) -> None:
        at, by = rfc3339(runner.clock.now()), person()
        Approvals(state.approvals).approve(
            revision, privileges, deployment=refused.id, by=by, at=at
        )
        for one in privileges:
            output.tell(f"approved for {revision[:12]}: {one}")

    asked = _asked_again(refused)
    return deploying.carry_out(
        session, refused.app, refused.kind, refused.options, asked, first=note
    )


def _refused_for(journal: Journal, shown: past.View) -> tuple[str, list[str]]:
    """Return revision and sentences. Raises UsageError when it was not refused for any."""
    for record in reversed(journal.records()):
        if shown["status"] == Status.FAILED and "privileges" in record["facts"]:
            return record["facts"]["revision"], record["facts"]["privileges"]
    raise UsageError(
        f"Deployment {shown['id']} ({shown['status']}) was not refused for new privileges.",
        remedy="Name one that was; `sheetanchor history APP` lists them.",
    )


def _asked_again(refused: Deployment) -> dict[str, str | None]:
    wanted = refused.requested_revision if refused.trigger in PERSONS else None
    return {"requested_revision": wanted, "reason": f"approved the privileges of {refused.id}"}
