"""Which backups may go, and letting them go.

The danger is the last good backup: it goes when newer ones failed, when a restore's own
backup pushes it out, when a kind that is made often counts for one that is not, when the data
were lost unnoticed and a week of empty backups follows. So each kind counts for itself,
what was found damaged does not count, nor what is almost empty against what is not, and
some backups are never candidates.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
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
    lost: Callable[[D, D], object] = lambda *_: False,
) -> list[D]:
    """Return what may be removed, oldest first: of backups, or of their copies at one place.

    Of each kind the newest `keep` verified ones stay, and what is newer than those. So do
    the newest verified backup of all and the one that a plain restore takes, the ids in
    `needed`, and safety backups younger than `keep_safety_days`. A backup dated later than
    now was made by a clock that has been set back: it neither goes nor counts, or each new
    one would go for its sake. The ids in `idle` are of deployments that failed before they
    changed anything: they count for none, and go, but for the above. For `keep_safety_days`
    nothing counts against a backup of whose data most is `lost` in it.
    """
    usual = [one for one in backups if one.kind != "safety"]
    newest = {one.id for found in (backups, usual) if (one := newest_verified(found, now))}
    dated = [one for one in by_age(backups, now) if parse(one.created_at) <= now]
    since = now - timedelta(days=keep_safety_days)
    young = {one.id for one in dated if parse(one.created_at) > since}
    seen: dict[str, list[D]] = defaultdict(list)  # verified ones that count, by kind
    removable = []
    for backup in dated:
        spared = backup.id in young
        newer = [one for one in seen[backup.kind] if not (spared and lost(backup, one))]
        protected = (
            backup.id in needed
            or backup.id in newest
            or (backup.kind == "safety" and backup.id in young)
        )
        if (backup.id in idle or len(newer) >= keep) and not protected:
            removable.append(backup)
        if backup.verified_at and backup.id not in idle:
            seen[backup.kind].append(backup)
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
