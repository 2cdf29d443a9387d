"""Copies in folders, by rsync: each a tree of files, unchanged ones linked to the one before.

Whole is a copy with its final name: it is renamed after everything was read on both sides
and nothing differed.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from worker.adapters.rsync import Rsync
from worker.backups.catalogue import DELETING, PARTIAL, Backup
from worker.backups.manifest import Manifest
from worker.backups.offsite import card as cards
from worker.backups.offsite.card import CARD, Card, Copy
from worker.backups.offsite.parts import NOT_SENT, Say
from worker.backups.text import size_text
from worker.errors import BackupError
from worker.formats import BACKUP_ID
from worker.targets import Target

_WITHOUT = (*NOT_SENT, CARD)


class Folders:
    """One target of rsync."""

    def __init__(self, target: Target, scratch: Path, mark: str) -> None:
        self._target = target
        self._scratch = scratch
        self._remote = Rsync(target, mark)

    def cards(self) -> list[Card]:
        """Return what is there whole, newest first."""
        if not any(BACKUP_ID.fullmatch(name) for name in self._remote.names()):
            return []
        with TemporaryDirectory(dir=self._scratch) as found:
            self._remote.get_all(CARD, Path(found))
            read = {
                path.parent.name: cards.read(path.read_text(errors="replace"))
                for path in Path(found).glob(f"*/{CARD}")
            }
        return cards.newest_first([card for name, card in read.items() if card and card.id == name])

    def copies(self, app: str) -> list[Copy]:
        """Return an app's; half removed ones have another name, and go with the next."""
        return [Copy(card) for card in self.cards() if card.app == app]

    def remove(self, copy: Copy) -> None:
        """Give it a name that is none of a copy, then empty and remove that folder."""
        doomed = f"{DELETING}{copy.card.app}"
        if doomed in self._remote.names():  # what a killed run left
            self._remote.remove_folder(doomed, self._scratch)
        self._remote.rename(copy.id, doomed)
        self._remote.remove_folder(doomed, self._scratch)

    def put(self, backup: Backup, manifest: Manifest, say: Say) -> None:
        """Copy what is missing, compare all of it, then give it its name."""
        partial = f"{PARTIAL}{backup.app}"  # one an app: what was given up takes no room for ever
        before = [card.id for card in self.cards() if card.app == backup.app]
        like = before[0] if before else None
        say(f"{backup.id}: copying {size_text(manifest.bytes)} to {self._target.text}")
        for by_content in (False, True):  # size and time may lie: then all of it is read
            self._remote.copy(backup.path, partial, _WITHOUT, like=like, by_content=by_content)
            different = self._remote.differences(backup.path, partial, _WITHOUT)
            if not different:
                break
        else:
            raise BackupError(
                f"{self._target.text}: {partial} differs from what was sent: {different[0]}.",
                remedy="Push again; if it stays so, look into that disk's health.",
            )
        path = self._scratch / CARD
        path.write_text(Card.of(manifest).line())
        self._remote.put(path, f"{partial}/{CARD}")
        path.unlink()
        self._remote.rename(partial, backup.id)

    def get(self, card: Card, partial: Path, say: Say) -> None:
        """Copy a tree from there into an empty folder."""
        say(f"{card.id}: copying {size_text(card.bytes)} from {self._target.text}")
        self._remote.get(card.id, partial, (CARD,))
