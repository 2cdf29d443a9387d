"""up, webhook, worker: the long-running processes."""

import click

from worker import service
from worker.cli.commands import Command
from worker.cli.session import Session, pass_session


@click.command(cls=Command)
@pass_session
def up(session: Session) -> int:
    """Run webhook, worker and, unless one is configured, a private Redis.

    In the foreground, until Ctrl-C or SIGTERM; a running deployment is let finish.
    """
    return service.up(session.config)


@click.command(cls=Command)
@pass_session
def webhook(session: Session) -> int:
    """Run the web process until SIGTERM."""
    return service.webhook(session.config)


@click.command(cls=Command)
@pass_session
def worker(session: Session) -> int:
    """Run a worker until SIGTERM; it then finishes the deployment that runs."""
    from worker import bells  # noqa: PLC0415 - `up` beside it stays small

    return bells.work(session.config)
