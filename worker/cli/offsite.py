"""offsite push, list, pull: an app's backups at other places."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from worker.backups.text import size_text
from worker.cli import output, past, screen
from worker.cli.commands import Group
from worker.cli.session import Session, pass_session
from worker.errors import SheetanchorError
from worker.jobs import Runner
from worker.offsite import Listed, Offsite
from worker.slow import Slow
from worker.targets import Target


@click.group(cls=Group)
def offsite() -> None:
    """Copy an app's backups to other places, list them there, bring them back.

    Where to, `backup.offsite` in sheetanchor.toml says. After each good backup the worker
    pushes by itself.
    """


@offsite.command()
@click.argument("app")
@click.argument("backup", required=False, metavar="[ID]")
@click.option("--to", metavar="TARGET", help="Only there, not to all that are configured.")
@pass_session
def push(session: Session, app: str, backup: str | None, to: str | None) -> int:
    """Copy APP's newest verified backup, or the one named, to each target that lacks it.

    A copy is listed once all of it is there and was compared. What was interrupted goes on
    where it was. Of old copies `keep_offsite` stay; left out, all. Exits 1 when one target failed.
    """
    with _alone(session, app) as there:
        found = [_pushed(there, target, backup) for target in there.targets(to)]
    session.answer({"targets": found}, [_push_line(one) for one in found])
    return output.FAILED if any(one["error"] for one in found) else output.DONE


@offsite.command(name="list")
@click.argument("app")
@click.option("--from", "source", metavar="TARGET", help="Only there.")
@pass_session
def listing(session: Session, app: str, source: str | None) -> int:
    """List APP's backups at each target, newest first. Exits 1 when one is away."""
    there = Offsite(Runner(session.config, session.app(app), None, None))
    found = there.listed(source)
    session.answer({"targets": [_value(one) for one in found]}, _lines(found))
    return output.FAILED if any(one.error for one in found) else output.DONE


@offsite.command()
@click.argument("app")
@click.argument("backup", required=False, metavar="[ID]")
@click.option("--from", "source", metavar="TARGET", help="From there; else where it is found.")
@pass_session
def pull(session: Session, app: str, backup: str | None, source: str | None) -> None:
    """Bring APP's newest copy, or the one named, back into the folder of backups.

    Every byte is read back before it is there. `restore` puts it in force.
    """
    with _alone(session, app) as there:
        place, target = there.pull(backup, source)
    came = f"came from {target}, every byte read back" if target else "was here already"
    value = {"id": place.name, "path": str(place), "target": target}
    session.answer(value, [f"Backup {place.name} {came}", f"  {place}"])


@contextmanager
def _alone(session: Session, name: str) -> Iterator[Offsite]:
    app = session.app(name)
    with screen.opened() as shown:
        slow = Slow(Runner(session.config, app, past.ledger(session), shown))
        with slow.alone():
            yield Offsite(slow.runner)


def _pushed(there: Offsite, target: Target, backup: str | None) -> dict[str, Any]:
    text = target.text
    try:
        found, copied = there.push(target, backup)
    except SheetanchorError as error:
        told = {"message": error.message, "remedy": error.remedy}
        return {"target": text, "backup": backup, "copied": False, "error": told}
    return {"target": text, "backup": found, "copied": copied, "error": None}


def _push_line(one: dict[str, Any]) -> str:
    if error := one["error"]:
        return f"{one['target']}  FAILED: {error['message']}\n  {error['remedy']}"
    return f"{one['target']}  {one['backup']} {'is there now' if one['copied'] else 'was there'}"


def _value(one: Listed) -> dict[str, Any]:
    fields = ("id", "kind", "created_at", "bytes")
    there = [{key: getattr(card, key) for key in fields} | {"whole": True} for card in one.cards]
    error = {"message": one.error.message, "remedy": one.error.remedy} if one.error else None
    return {"target": one.target, "backups": there, "error": error}


def _lines(found: list[Listed]) -> list[str]:
    rows: list[tuple[str, ...]] = [("TARGET", "ID", "KIND", "SIZE", "WHOLE")]
    for one in found:
        rows += [(one.target, c.id, c.kind, size_text(c.bytes), "yes") for c in one.cards]
        if not one.cards:
            rows.append((one.target, "AWAY" if one.error else "none", "", "", ""))
    away = [f"{one.target}  AWAY: {one.error}" for one in found if one.error]
    return [*output.table(rows), *away]
