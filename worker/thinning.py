"""Which copies at another place are kept no longer, and letting them go.

Only where `keep_offsite` is set. The danger is the last good copy: the same rule decides as
for the backups here (`backups.retention`), so the newest whole one always stays, as do those
of what the running and the previous release need; half a copy counts for none. And another's
things: what goes is named by a card of this app's.
"""

import logging
from dataclasses import dataclass

from worker import aftermath
from worker.backups import retention
from worker.backups.losses import copy_lost_most
from worker.backups.offsite import Copy, Place
from worker.errors import SheetanchorError
from worker.jobs import Runner

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Thinned:
    """What went, or would go, at one target, and what stays; or why it cannot be told."""

    target: str
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    error: SheetanchorError | None = None


def thin(runner: Runner, there: Place, target: str, *, dry_run: bool = False) -> Thinned:
    """Remove the copies at one place that are kept no longer, or only say which.

    The caller holds the app's slow lock. Raises UnavailableError, BackupError, ConfigError.
    """
    copies = there.copies(runner.app.name)
    gone = _expired(runner, copies)
    for copy in () if dry_run else gone:
        there.remove(copy)
        extra = {"app": runner.app.name, "target": target, "backup": copy.id}
        log.info("copy.removed", extra=extra)
    kept = sorted({copy.id for copy in copies if copy not in gone}, reverse=True)
    return Thinned(target, tuple(copy.id for copy in gone), tuple(kept))


def _expired(runner: Runner, copies: list[Copy]) -> list[Copy]:
    app, keep = runner.app, runner.app.backup.keep_offsite
    if keep is None:
        return []
    days, now = app.backup.keep_safety, runner.clock.now()
    needed = aftermath.needed_backups(app, runner.state)
    return retention.expired(copies, keep, days, now, needed, lost=copy_lost_most)
