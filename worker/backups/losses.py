"""Notices when a backup holds almost nothing of what an earlier one has.

That is what a disk looks like that was not mounted, and a mongod with another dbPath:
nobody may notice for a week, while each night's backup is made and verified all the same.
"""

from worker.backups.catalogue import Backup
from worker.backups.offsite.card import Copy

A_FEW = 20  # documents or files: fewer may go in a day's work
TENTH = 10


def lost_most(before: Backup, now: Backup) -> str:
    """Return of what a later backup holds less than a tenth, in a sentence; empty if of nothing."""
    for what in ("documents", "files"):
        old, new = getattr(before, what), getattr(now, what)
        if old >= A_FEW and new * TENTH < old:
            return f"{before.id} has {old:,} {what}, and this one {new:,}."
    return ""


def copy_lost_most(before: Copy, now: Copy) -> bool:
    """Return whether a later copy holds less than a tenth; of copies only the bytes are known."""
    return now.card.bytes * TENTH < before.card.bytes
