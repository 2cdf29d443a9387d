"""verify, drill: whether backups are what they say, and can be restored."""

from typing import Any

import click

from worker.backups import drilled
from worker.backups.verification import Verification
from worker.cli import output, past, screen
from worker.cli.commands import Command
from worker.cli.session import Session, pass_session, person
from worker.jobs import Runner
from worker.proving import Proving
from worker.slow import Slow


@click.command(cls=Command)
@click.argument("app")
@click.argument("backup", required=False, metavar="[ID]")
@pass_session
def verify(session: Session, app: str, backup: str | None) -> int:
    """Read APP's backups back, every byte: all of them, or the one named.

    Exits 1 when one is damaged: it no longer counts as verified, so that no restore, no
    drill and no retention relies on it. The app goes on running, and deployments wait
    for nothing.
    """
    found = session.app(app)
    with screen.opened() as shown:
        slow = Slow(Runner(session.config, found, past.ledger(session), shown))
        with slow.alone():
            read = Proving(slow.runner).verify(backup)
    values = [_value(one, of_it) for one, of_it in read]
    session.answer(values[0] if backup else {"backups": values}, [_line(*one) for one in read])
    return output.FAILED if any(of_it.faults for _, of_it in read) else output.DONE


@click.command(cls=Command)
@click.argument("app")
@pass_session
def drill(session: Session, app: str) -> None:
    """Restore APP's newest verified backup into scratch, compare it, and remove it again.

    Nothing live is touched, and deployments wait for nothing: it goes into databases
    named after the app's, with `_sheetanchor_drill` behind, and a folder beside the
    backups. `status` shows when a drill last passed and how long a restore takes.
    """
    found = session.app(app)
    with screen.opened() as shown:
        slow = Slow(Runner(session.config, found, past.ledger(session), shown))
        with slow.alone():
            done = slow.drill_noted(person())
    what = f"{done.documents:,} documents and {done.files:,} files"
    lines = [
        f"Backup {done.backup} was restored in {done.restore_seconds:.1f} s: {what}, all equal"
    ]
    session.answer(drilled.read(slow.runner.state.drill), lines)


def _value(backup: str, found: Verification) -> dict[str, Any]:
    """Return it as `backups` names the same things."""
    return {
        "id": backup,
        "verified_at": None if found.faults or not found.proven else found.at,
        "damage": found.damage,
        "damage_found_at": found.at if found.faults else None,
        "faults": list(found.faults),
    }


def _line(backup: str, found: Verification) -> str:
    if not found.faults:
        read = "read to its end; of an older script, so nothing says what should be in it"
        return f"{backup}  {'whole' if found.proven else read}"
    return "\n".join([f"{backup}  DAMAGED", *(f"  {fault}" for fault in found.faults)])
