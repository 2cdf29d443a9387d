"""prune: the backups that are kept no longer, here and at other places."""

from typing import Any

import click

from worker import aftermath
from worker.backups import catalogue
from worker.cli import output, past, running
from worker.cli.commands import Command
from worker.cli.screen import Lines
from worker.cli.session import Session, pass_session
from worker.clock import SystemClock
from worker.jobs import Runner
from worker.offsite import Offsite
from worker.slow import Slow
from worker.state import State
from worker.thinning import Thinned


@click.command(cls=Command)
@click.argument("app")
@click.option("--dry-run", is_flag=True, help="Only show which; remove nothing.")
@pass_session
def prune(session: Session, app: str, *, dry_run: bool) -> int:
    """Remove the backups of APP that are kept no longer, as each deployment does.

    Of each kind the newest `keep` verified ones stay, safety backups for `keep_safety`
    days, and always the newest verified one and those that the running and the previous
    release need. What is being read stays, too. Folders of other makers are not touched.
    With `keep_offsite` so do the copies at each target, that number of each kind: exits 1
    when a target is away.
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
    copies = _thinned(session, app, dry_run=dry_run)
    key, verb = ("would_remove", "would be removed") if dry_run else ("removed", "removed")
    lines = [f"{one}  {verb}" for one in ids] or ["Nothing is to be removed."]
    lines += [f"{len(kept)} kept", *(line for one in copies for line in _lines(one, verb))]
    value = {key: ids, "kept": kept, "offsite": [_value(one, key) for one in copies]}
    session.answer(value, lines)
    return output.FAILED if any(one.error for one in copies) else output.DONE


def _thinned(session: Session, name: str, *, dry_run: bool) -> list[Thinned]:
    """Return what goes, or would go, at the targets; nothing where all copies are kept."""
    app = session.app(name)
    if app.backup.keep_offsite is None:
        return []
    slow = Slow(Runner(session.config, app, past.ledger(session), None))
    with slow.alone():
        return Offsite(slow.runner).thinned(dry_run=dry_run)


def _lines(one: Thinned, verb: str) -> list[str]:
    if one.error:
        return [f"{one.target}  AWAY: {one.error}"]
    gone = [f"{one.target}  {copy}  {verb}" for copy in one.removed]
    return [*gone, f"{one.target}  {len(one.kept)} kept"]


def _value(one: Thinned, key: str) -> dict[str, Any]:
    error = {"message": one.error.message, "remedy": one.error.remedy} if one.error else None
    return {"target": one.target, key: one.removed, "kept": one.kept, "error": error}
