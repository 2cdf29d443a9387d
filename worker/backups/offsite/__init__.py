"""Copies of backups at other places: put there, listed, and brought home again.

The danger is a copy that is listed and is none. So it grows under a partial name, is
proven by sizes and hashes, and only then gets its name; a card in it says whose it is.
A push that was interrupted goes on where it was. What is whole there goes only if `keep_offsite`
is set (`thinning`), by its own card: nothing else is ever deleted.

What comes home is exact whatever the place can keep (owners, modes, links, odd names):
the manifest knows them, so they are set from it, and every byte is read back before the
backup is there for anybody.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from worker.adapters import files
from worker.adapters.files_tree import Tree
from worker.backups import manifest as manifests
from worker.backups.catalogue import Backup
from worker.backups.file_entries import as_stored
from worker.backups.manifest import Manifest
from worker.backups.offsite.card import CARD, Card, Copy
from worker.backups.offsite.cloud import Cloud
from worker.backups.offsite.folders import Folders
from worker.backups.reading import reading
from worker.backups.verify import verify
from worker.errors import BackupError, UsageError
from worker.targets import Target

__all__ = ["CARD", "PULLING", "Card", "Copy", "Place", "place", "pull", "push"]

PULLING = ".pulling-"  # not `.partial-`: what holds the app's lock removes those
Say = Callable[[str], None]


class Place(Protocol):
    """Where copies are. Raises UnavailableError when it is away, BackupError for a bad copy."""

    def cards(self) -> list[Card]:
        """Return what is there whole, of any app, newest first."""

    def copies(self, app: str) -> list[Copy]:
        """Return an app's, also what is half removed or half renamed."""

    def remove(self, copy: Copy) -> None:
        """Remove a copy, and nothing but what its card names; killed, it is done again."""

    def put(self, backup: Backup, manifest: Manifest, say: Say) -> None:
        """Copy a backup there; whole, proven and named when this returns."""

    def get(self, card: Card, partial: Path, say: Say) -> None:
        """Fill an empty folder with what a copy holds; it is not read back yet."""


def place(target: Target, scratch: Path, mark: str) -> Place:
    """Return the place that a target is; `scratch` is a folder for parts and cards."""
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    kind: Callable[..., Place] = Cloud if target.kind == "rclone" else Folders
    return kind(target, scratch, mark)


def push(there: Place, target: Target, backup: Backup, say: Say) -> bool:
    """Copy a backup there unless it is there already; return whether it was copied.

    Raises UnavailableError, BackupError, or UsageError for a place that is another app's.
    """
    found = {card.id: card for card in there.cards()}
    if card := found.get(backup.id):
        if card.app != backup.app:
            raise UsageError(
                f"{target.text} holds a backup {backup.id} of {card.app}.",
                remedy="Give each app a target of its own in backup.offsite.",
            )
        return False
    with reading(backup.path):
        there.put(backup, backup.manifest(), say)
    return True


def pull(there: Place, card: Card, folder: Path, say: Say) -> Path:
    """Bring a copy into the folder of backups, as it was made; return where it is.

    Raises UnavailableError, or BackupError when what came is not the backup it should be.
    The caller makes sure that nobody else pulls into that folder.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in folder.glob(f"{PULLING}*"):
        shutil.rmtree(left)
    partial = folder / f"{PULLING}{card.id}"
    partial.mkdir(mode=0o700)
    try:
        there.get(card, partial, say)
        _finish(partial, card)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    final = folder / card.id
    partial.rename(final)
    files.sync(folder)
    return final


def _finish(partial: Path, card: Card) -> None:
    """Give back what no place keeps, prove every byte, and have it on disk."""
    manifest = manifests.read(partial)
    if (manifest.app, manifest.id) != (card.app, card.id):
        raise BackupError(
            f"The copy {card.id} holds {manifest.app}'s backup {manifest.id}.",
            remedy="Pull another one; somebody changed this one.",
        )
    with Tree(partial) as tree:
        _as_made(tree, manifest)
        found = tree.scan().entries
    verify(partial)
    files.sync_all(partial / path for path, seen in found.items() if seen.type != "link")


def _as_made(tree: Tree, manifest: Manifest) -> None:
    try:
        for entry in reversed(manifest.files):  # what is in a folder before the folder
            tree.set_metadata(entry.path, as_stored(entry))
    except (OSError, ValueError) as error:
        raise BackupError(
            f"The copy {manifest.id} is not what its manifest says: {error}.",
            remedy="Pull another one, or from another target.",
        ) from error
