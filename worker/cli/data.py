"""backup, backups: the app's data, kept."""

from typing import Any

import click

from worker.backups import old
from worker.cli import output, running, screen
from worker.cli.commands import Command
from worker.cli.interrupt import Interrupt
from worker.cli.session import Session, pass_session


@click.command(cls=Command)
@click.argument("app")
@pass_session
def backup(session: Session, app: str) -> None:
    """Make and verify a backup of APP's data now. The app goes on running."""
    with (
        screen.opened() as shown,
        Interrupt(shown) as interrupt,
        running.held(session, app, interrupt) as runner,
    ):
        interrupt.arm()
        made = runner.back_up("manual")
    for warning in made.warnings:
        output.tell(f"warning: {warning}")
    found = made.summary()
    lines = [f"Backup {made.id}: {made.bytes} bytes, verified", f"  {made.path}"]
    session.answer(found, [*lines, _moment(found)])


@click.command(cls=Command)
@click.argument("app")
@pass_session
def backups(session: Session, app: str) -> None:
    """List the backups of APP, newest first."""
    found = session.app(app)
    there = [one.summary() for one in old.everything(found.backup_dir, found.name)]
    session.answer({"backups": there}, _lines(there))


def _lines(there: list[dict[str, Any]]) -> list[str]:
    if not there:
        return ["There is no backup yet."]
    head = ("ID", "KIND", "VERIFIED", "BYTES", "ONE MOMENT")
    rows = [
        (
            one["id"],
            one["kind"],
            _verified(one),
            one["bytes"],
            "yes" if one["one_moment"] else "no",
        )
        for one in there
    ]
    torn = [f"{one['id']}: {_moment(one)}" for one in there if not one["one_moment"]]
    return [*output.table([head, *rows]), *torn]


def _verified(one: dict[str, Any]) -> str | None:
    return f"DAMAGED: {one['damage']}" if one.get("damage") else one.get("verified_at")


def _moment(one: dict[str, Any]) -> str:
    return f"{'' if one['one_moment'] else 'not '}of one moment: {one['one_moment_why']}"
