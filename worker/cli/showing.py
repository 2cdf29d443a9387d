"""history, show: from the journals, so also without Redis."""

import click

from worker.cli import past, text
from worker.cli.commands import Command
from worker.cli.session import Session, pass_session


@click.command(cls=Command)
@click.argument("app")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@pass_session
def history(session: Session, app: str, limit: int) -> None:
    """List the deployments of APP, newest first."""
    found = past.deployments(session, session.app(app), past.ledger(session), limit)
    session.answer({"deployments": found}, text.history(found))


@click.command(cls=Command)
@click.argument("deployment", metavar="ID")
@click.option("--log", is_flag=True, help="Show what it wrote.")
@pass_session
def show(session: Session, deployment: str, *, log: bool) -> None:
    """Show one deployment."""
    found = past.one(session, deployment, past.ledger(session))
    if log:
        written = past.log(session, found)
        session.answer({**found, "log": written}, written.splitlines())
    else:
        session.answer(found, text.details(found))
