"""recover: an app back on an empty server, from a copy elsewhere."""

import click

from worker.cli import deploying, output
from worker.cli.commands import Command
from worker.cli.session import Session, pass_session, person
from worker.jobs import Runner
from worker.rebuilding import Rebuilding


@click.command(cls=Command)
@click.argument("app")
@click.option("--from", "target", metavar="TARGET", required=True, help="As in backup.offsite.")
@pass_session
def recover(session: Session, app: str, target: str) -> int:
    """Bring APP back on an empty server, with its data from TARGET, and deploy it.

    Clones the repository, fetches the newest whole copy, puts back the env files, the
    uploads and the databases, and deploys the branch's head. Nothing that is there is
    overwritten. Interrupted, run it again: it goes on where it was.
    """
    begun: list[Rebuilding] = []

    def first(runner: Runner) -> None:
        begun.append(Rebuilding(runner, person(), output.tell))
        begun[0].bring_back(target)

    asked = {"reason": f"recovered from {target}"}
    code = deploying.carry_out(
        session, app, "deploy", {"force": False, "pull": True}, asked, first=first
    )
    if code == output.DONE:
        begun[0].ended()
        output.tell(f"{app} is back, with its data from {target}.")
    else:
        output.tell(f"The data of {app} is back; the deployment is not. Mend it, then deploy.")
    return code
