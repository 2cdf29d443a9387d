"""Which backups may go, and letting them go.

The danger is the last good backup: it goes when newer ones failed, when a restore's own
backup pushes it out, when a kind that is made often counts for one that is not. So each
kind counts for itself, what was found damaged does not count, and some backups are never
candidates.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from worker.adapters import files
from worker.backups import catalogue
from worker.backups.catalogue import DELETING, Backup, D, by_age, newest_verified
from worker.backups.reading import removing
from worker.clock import parse
from worker.errors import BusyError


def expired(
    backups: Sequence[D],
    keep: int,
    keep_safety_days: int,
    now: datetime,
    needed: Collection[str],
    *,
    idle: Collection[str] = (),
) -> list[D]:
    """Return what may be removed, oldest first: of backups, or of their copies at one place.

    Of each kind the newest `keep` verified ones stay, and what is newer than those. So do
    the newest verified backup of all and the one that a plain restore takes, the ids in
    `needed`, and safety backups younger than `keep_safety_days`. A backup dated later than
    now was made by a clock that has been set back: it neither goes nor counts, or each new
    one would go for its sake. The ids in `idle` are of deployments that failed before they
    changed anything: they count for none, and go, but for the above.
    """
    usual = [one for one in backups if one.kind != "safety"]
    newest = {one.id for found in (backups, usual) if (one := newest_verified(found, now))}
    dated = [one for one in by_age(backups, now) if parse(one.created_at) <= now]
    young = now - timedelta(days=keep_safety_days)
    seen: dict[str, int] = {}
    removable = []
    for backup in dated:
        newer = keep if backup.id in idle else seen.get(backup.kind, 0)
        if backup.id not in idle:
            seen[backup.kind] = newer + bool(backup.verified_at)
        protected = (
            backup.id in needed
            or backup.id in newest
            or (backup.kind == "safety" and parse(backup.created_at) > young)
        )
        if newer >= keep and not protected:
            removable.append(backup)
    return removable[::-1]


def prune(folder: Path, app: str, removable: Sequence[Backup]) -> list[str]:
    """Remove backups of this app and return their ids.

    Each is renamed first, so that a half-removed one is never listed; what a killed run
    leaves, `catalogue.clean_partial` removes. One that is being read stays for now. For
    the holder of the app's lock.
    """
    removed = []
    for backup in removable:
        if backup.app != app or backup.path.parent != folder:
            continue
        with suppress(BusyError), removing(backup.path):
            doomed = folder / f"{DELETING}{backup.id}"
            backup.path.rename(doomed)
            files.sync(folder)
            catalogue.remove(doomed)
            removed.append(backup.id)
    return removed
