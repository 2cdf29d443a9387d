"""Restores a backup into scratch databases and a scratch folder, and compares.

It goes the way of a real restore: the backup is read back, collections are loaded,
hashed and indexed beside, then renamed; files are copied, hashed and renamed. So what it
proves is that the restore works, and how long it takes; what it finds is compared with
the manifest: every collection's documents and SHA-256, options and indexes, every file's
SHA-256, owner and mode. Nothing live is read or written.

The danger is the disk: a full one ends mongod, and with it what is live. A drill is never
urgent, so it is refused unless it leaves room for everybody else.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.adapters import disk
from worker.adapters.files_tree import Tree
from worker.adapters.mongo_writer import Writer
from worker.backups import proof
from worker.backups.catalogue import Backup
from worker.backups.difference import (
    CollectionChange,
    FileChange,
    config_change,
    kept_in,
    upload_changes,
)
from worker.backups.load import Load
from worker.backups.manifest import CollectionEntry, Manifest
from worker.backups.place import Place
from worker.backups.reading import reading
from worker.backups.refusals import checked
from worker.backups.scratch import MARK, VIEWS, Scratch
from worker.backups.settings import Settings
from worker.backups.source import STAGING, Source
from worker.backups.text import size_text
from worker.errors import FullError, RestoreError, SheetanchorError

NAMED = 5  # in a sentence
SPARE = 256 << 20  # bytes that stay free beside a drill

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """A drill that passed: what was restored, and in how many seconds."""

    backup: str
    restore_seconds: float
    documents: int
    files: int
    bytes: int


def drill(source: Source, backup: Backup, report: Callable[[str], None]) -> Drilled:
    """Restore the backup into scratch, compare, and remove the scratch again.

    `report` gets a line now and then; what it raises ends the drill. Raises BackupError
    for a damaged backup, GuardError for missing rights or a name that is taken,
    RestoreError for what did not come back as it was, UnavailableError.
    """
    with reading(backup.path):
        began = source.clock.monotonic()
        manifest = checked(source, backup, None, None, report)
        scratch = Scratch(source)
        try:
            scratch.make()
            _restore(scratch, manifest, backup, report)
            seconds = source.clock.monotonic() - began
            _refuse_differences(list(_differences(scratch, manifest)), backup)
        except OSError as error:
            _clean(scratch)
            raise RestoreError(
                f"The drill could not write its scratch folder: {error}.",
                remedy="See that the backups' disk has space and is healthy, then try again.",
            ) from error
        except BaseException:
            _clean(scratch)
            raise
    scratch.clean()
    return Drilled(
        backup=backup.id,
        restore_seconds=round(seconds, 3),
        documents=backup.documents,
        files=backup.files,
        bytes=backup.bytes,
    )


def _restore(
    scratch: Scratch, manifest: Manifest, backup: Backup, report: Callable[[str], None]
) -> None:
    loads = [_load(scratch, database, manifest, report) for database in manifest.databases]
    _refuse_full_disk(scratch, manifest)
    for load in loads:
        load.refuse_full_disk()
    with Tree(backup.path) as tree:
        for root in manifest.uploads:
            _place(scratch.folder / "uploads" / root, root, manifest, tree, report)
        _settings(scratch, manifest, tree)
        for load in loads:
            load.refuse_full_disk()  # again: what was restored so far may be on that disk
            load.stage(tree)
            load.swap()


def _load(
    scratch: Scratch, database: str, manifest: Manifest, report: Callable[[str], None]
) -> Load:
    entries = manifest.databases[database]
    changes = [CollectionChange(database, name, "missing") for name in entries]
    return Load(scratch.writers()[database], database, entries, changes, report)


def _refuse_full_disk(scratch: Scratch, manifest: Manifest) -> None:
    needed = SPARE + sum(entry.size for entry in manifest.files)
    free = disk.free_bytes(scratch.folder)
    if needed > free:
        raise FullError(
            f"A drill needs {size_text(needed)} beside the backups, {size_text(SPARE)} of it to"
            f" spare, and {size_text(free)} are free.",
            remedy="Free some space, or move backup.dir to another disk.",
        )


def _place(
    top: Path, root: str, manifest: Manifest, tree: Tree, report: Callable[[str], None]
) -> None:
    kept = kept_in(manifest, root)
    if not kept:  # the folder was not there to be saved
        return
    place = Place(top, root, kept, report)
    try:
        place.refuse_full_disk()
        place.stage(tree)
        place.swap()
    finally:
        place.close()


def _settings(scratch: Scratch, manifest: Manifest, tree: Tree) -> None:
    kept = manifest.files_by_path()
    places = _config_places(scratch, manifest)
    for path in places.values():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings = Settings(places, kept, [FileChange(path, "missing") for path in places])
    settings.stage(tree)
    settings.swap()


def _config_places(scratch: Scratch, manifest: Manifest) -> dict[str, Path]:
    return {
        entry.path: scratch.folder / entry.path
        for entry in manifest.files
        if entry.type == "file" and entry.path.startswith("config/")
    }


def _differences(scratch: Scratch, manifest: Manifest) -> Iterator[str]:
    """Yield what did not come back as the manifest has it.

    A collection's documents were counted and hashed before its TTL indexes were built.
    """
    for database, entries in manifest.databases.items():
        writer = scratch.writers()[database]
        found = {name for name in writer.names() if name not in (MARK, VIEWS)}
        yield from (f"{database}.{name} is not in the backup" for name in found - entries.keys())
        for entry in entries.values():
            if how := _how_it_differs(writer, entry):
                yield f"{database}.{entry.name} {how}"
    for root in manifest.uploads:
        if kept := kept_in(manifest, root):
            with Tree(scratch.folder / "uploads" / root) as tree:
                there = tree.scan(STAGING).entries
                yield from map(str, upload_changes(there, tree, kept, root))
    kept = manifest.files_by_path()
    for path, place in _config_places(scratch, manifest).items():
        if what := config_change(place, kept[path]):
            yield f"{path} ({what})"


def _how_it_differs(writer: Writer, entry: CollectionEntry) -> str:
    found = writer.collection(entry.name)
    if found is None:
        return "is missing"
    if found.type != entry.type:
        return f"is a {found.type}, not a {entry.type}"
    if not proof.same(found.options, entry.options):
        return "has other options"
    return "" if proof.same_indexes(found.indexes, entry.indexes) else "has other indexes"


def _refuse_differences(differences: list[str], backup: Backup) -> None:
    if differences:
        more = f" and {len(differences) - NAMED} more" if len(differences) > NAMED else ""
        raise RestoreError(
            f"The backup {backup.id} came back otherwise than it was saved:"
            f" {', '.join(differences[:NAMED])}{more}.",
            remedy="See whether mongod's version is the backup's, and look into the disk's health.",
        )


def _clean(scratch: Scratch) -> None:
    """Remove what a failed drill made; a failure of that is logged and hides nothing."""
    try:
        scratch.clean()
    except (SheetanchorError, OSError) as error:
        log.warning("drill.left_behind", extra={"error": str(error)})
