"""audit: who asked what of the API."""

import click

from worker.audit import Audit
from worker.cli import output
from worker.cli.commands import Command
from worker.cli.session import Session, pass_session

SHOWN = ("time", "token", "from", "verb", "path", "status", "made")
FIRST_REFUSED = 400  # of the statuses


@click.command(cls=Command)
@click.option("--tail", type=click.IntRange(min=1), default=100, show_default=True, help="Records.")
@click.option("--refused/--done", default=None, help="Only what was refused, or what was done.")
@pass_session
def audit(session: Session, tail: int, *, refused: bool | None) -> None:
    """Show who asked what of the API, when and from where; the newest last.

    What is typed here is not in it: that is in the journals, with who typed it.
    """
    there = Audit(session.config.server.state_dir).read()
    if refused is not None:
        there = [one for one in there if (one.get("status", 0) >= FIRST_REFUSED) is refused]
    shown = there[-tail:]
    rows = [tuple(one.get(key) for key in SHOWN) for one in shown]
    session.answer({"records": shown}, output.table([SHOWN, *rows]))
