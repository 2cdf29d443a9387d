"""backup, backups, prune: the app's data, kept."""

from typing import Any

import click

from worker import aftermath
from worker.backups import catalogue, old
from worker.cli import output, running, screen
from worker.cli.commands import Command
from worker.cli.interrupt import Interrupt
from worker.cli.screen import Lines
from worker.cli.session import Session, pass_session
from worker.clock import SystemClock
from worker.state import State


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


@click.command(cls=Command)
@click.argument("app")
@click.option("--dry-run", is_flag=True, help="Only show which; remove nothing.")
@pass_session
def prune(session: Session, app: str, *, dry_run: bool) -> None:
    """Remove the backups of APP that are kept no longer, as each deployment does.

    Of each kind the newest `keep` verified ones stay, safety backups for `keep_safety`
    days, and always the newest verified one and those that the running and the previous
    release need. What is being read stays, too. Folders of other makers are not touched.
    """
    found = session.app(app)
    state, clock = State.of(session.config, found), SystemClock()
    if dry_run:
        ids = [one.id for one in aftermath.expired(found, state, clock)]
    else:
        with running.held(session, app, Lines()) as runner:
            ids = aftermath.prune(found, state, clock)
            runner.show()
    kept = [one.id for one in catalogue.backups(found.backup_dir, app) if one.id not in ids]
    value = {"would_remove" if dry_run else "removed": ids, "kept": kept}
    verb = "would be removed" if dry_run else "removed"
    lines = [f"{one}  {verb}" for one in ids] or ["Nothing is to be removed."]
    session.answer(value, [*lines, f"{len(kept)} kept"])


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
