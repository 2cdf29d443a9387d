"""Copies at a remote of rclone: a folder of parts and a card.

Whole is a copy whose card is there, and each part that it names with its size: a cloud's
rename may be file by file, and be interrupted. Parts are looked for under both names.
"""

from collections.abc import Mapping
from functools import partial as bound
from pathlib import Path

from worker.adapters.rclone import Rclone
from worker.backups.catalogue import PARTIAL, Backup
from worker.backups.manifest import Manifest
from worker.backups.offsite import card as cards
from worker.backups.offsite.card import CARD, Card, Copy, Part
from worker.backups.offsite.parts import Hashes, Joined, Say, pack, unpack
from worker.backups.text import size_text
from worker.errors import BackupError
from worker.targets import Target


class Cloud:
    """One remote."""

    def __init__(self, target: Target, scratch: Path, mark: str) -> None:
        self._target = target
        self._scratch = scratch
        self._remote = Rclone(target, mark)

    def cards(self) -> list[Card]:
        """Return what is there whole, newest first."""
        return cards.newest_first([one.card for one in self._there() if one.whole])

    def copies(self, app: str) -> list[Copy]:
        """Return an app's. A half removed one still has its card: that goes last."""
        return [one for one in self._there() if one.card.app == app]

    def remove(self, copy: Copy) -> None:
        """Remove the parts, then the card; what somebody else put beside them stays."""
        card, folder = copy.card, copy.card.id
        self._remote.remove_all(folder, [part.name for part in card.parts], self._scratch)
        self._remote.remove(f"{folder}/{CARD}")
        if not self._remote.sizes(folder):
            self._remote.remove_folder(folder)

    def _there(self) -> list[Copy]:
        lines = self._remote.text(f"/[^.]*/{CARD}").splitlines()
        found = [card for card in map(cards.read, lines) if card]
        sizes = self._remote.sizes() if found else {}
        return [Copy(card, _is_whole(card, sizes, card.id)) for card in found]

    def put(self, backup: Backup, manifest: Manifest, say: Say) -> None:
        """Send the parts that are missing, prove all of them, then give them their name."""
        partial = f"{PARTIAL}{backup.app}"  # one an app: what was given up takes no room for ever
        there = self._remote.sizes(backup.id)
        sent = self._remote.sizes(partial)
        known: dict[Part, Hashes] = {}

        def send(path: Path, part: Part, hashes: Hashes) -> None:
            known[part] = hashes
            if part.size not in (there.get(part.name), sent.get(part.name)):
                self._remote.put(path, f"{partial}/{part.name}")
            done = size_text(sum(one.size for one in known))
            say(f"{backup.id}: {done} are at {self._target.text}")

        card = Card.of(manifest, pack(backup.path, self._scratch, send))
        for folder in (partial, backup.id):
            self._prove(folder, {part.name: hashes for part, hashes in known.items()})
        for name in sent.keys() - {part.name for part in known}:
            self._remote.remove(f"{partial}/{name}")  # of a backup that was given up
        path = self._scratch / CARD
        path.write_text(card.line())
        self._remote.put(path, f"{partial}/{CARD}")
        path.unlink()
        self._remote.move(partial, backup.id)
        if not _is_whole(card, self._remote.sizes(backup.id), ""):
            raise self._wrong(backup.id, "does not list what was sent")

    def get(self, card: Card, partial: Path, say: Say) -> None:
        """Fetch the parts one by one and unpack them into an empty folder."""

        def fetch(name: str, path: Path) -> None:
            say(f"{card.id}: {name[:10]} of {len(card.parts)} from {self._target.text}")
            self._remote.get(f"{card.id}/{name}", path)

        stream = Joined(card.parts, self._scratch, fetch)
        try:
            unpack(stream, partial)
        finally:
            stream.close()

    def _prove(self, folder: str, known: Mapping[str, Hashes]) -> None:
        """Compare hashes: the remote's own, or by reading all of it where it has none."""
        for name, theirs in self._remote.hashes(folder).items():
            if name not in known:
                continue
            both = {kind: value for kind, value in theirs.items() if kind in known[name]}
            both = both or {"sha256": self._remote.sha256(f"{folder}/{name}")}
            if any(value != known[name][kind] for kind, value in both.items()):
                self._remote.remove(f"{folder}/{name}")  # so that the next push sends it again
                raise self._wrong(f"{folder}/{name}", "had another hash than what was sent")

    def _wrong(self, name: str, how: str) -> BackupError:
        return BackupError(
            f"{self._target.text}: {name} {how}.",
            remedy="Push again: what is missing is sent. If it stays so, look into that remote.",
        )


def _is_whole(card: Card, sizes: Mapping[str, int], folder: str) -> bool:
    at = bound("{}/{}".format, folder) if folder else str
    return all(sizes.get(at(part.name)) == part.size for part in card.parts)
