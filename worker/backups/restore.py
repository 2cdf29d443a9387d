"""Puts an app's data back as a backup holds it; only what differs.

The danger is to make it worse. So the backup is read back first, whole; then everything
is staged beside the live data and proven; only then is anything live replaced, by
renames. A failure before that leaves the live data as it was; after that, and after a
kill at any point, a second run finishes it. The caller holds the app's lock, has stopped
the app, and has made a safety backup.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from worker.adapters.files_tree import Tree
from worker.adapters.mongo import Mongo
from worker.adapters.mongo_server import OURS
from worker.backups.catalogue import Backup
from worker.backups.difference import PARTS, Difference, difference, kept_in
from worker.backups.elsewhere import load_into
from worker.backups.load import Load
from worker.backups.manifest import Manifest
from worker.backups.place import Place
from worker.backups.settings import Settings
from worker.backups.source import Source
from worker.backups.verify import verify
from worker.errors import RestoreError, SheetanchorError, UsageError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """What a restore did: `difference` is what it found and put right."""

    backup: str
    difference: Difference
    to_database: str | None
    warnings: tuple[str, ...]

    def summary(self) -> str:
        """Return a sentence for people."""
        if self.to_database:
            count = len(self.difference.collections)
            return f"{count} collections of {self.backup} were loaded into {self.to_database}."
        if not self.difference:
            return f"Nothing differed from {self.backup}."
        return f"Restored from {self.backup}: {self.difference.summary()}"


def restore(
    target: Source,
    backup: Backup,
    *,
    only: str | None = None,
    to_database: str | None = None,
    report: Callable[[str], None],
) -> RestoreResult:
    """Make the live data what the backup holds. `only`: mongodb, uploads or env.

    `to_database` loads the backup's one database into that other, empty one instead and
    touches nothing live. Raises BackupError for a damaged backup, UsageError for one
    that does not belong here, RestoreError when it could not be done: its message says
    whether live data was touched.
    """
    manifest = checked(target, backup, only, to_database)
    with _in_our_words():
        if to_database is not None:
            return RestoreResult(
                backup=backup.id,
                difference=load_into(target, backup, manifest, to_database, report),
                to_database=to_database,
                warnings=(),
            )
        return _in_place(target, backup, manifest, only, report)


def checked(target: Source, backup: Backup, only: str | None, to_database: str | None) -> Manifest:
    """Return the manifest of a backup that is whole, belongs here and could be restored.

    Nothing is touched. Raises BackupError, UsageError, RestoreError or UnavailableError.
    """
    if only is not None and only not in PARTS:
        raise UsageError(f"{only!r} is no part.", remedy=f"Use one of {', '.join(PARTS)}.")
    if to_database is not None and only not in (None, "mongodb"):
        raise UsageError(
            f"Only MongoDB can be loaded into another database, not {only}.",
            remedy="Leave out either.",
        )
    if backup.app != target.app.name:
        raise UsageError(
            f"The backup {backup.id} is of {backup.app}, not of {target.app.name}.",
            remedy=f"Name a backup of {target.app.name}.",
        )
    manifest = verify(backup.path)
    if manifest.app != target.app.name:
        raise UsageError(f"{backup.path} is of {manifest.app}.", remedy="Name another backup.")
    if only in (None, "mongodb") and manifest.databases:
        _check_databases(target.mongo, manifest, to_database)
    return manifest


def _check_databases(mongo: Mongo | None, manifest: Manifest, to_database: str | None) -> None:
    if mongo is None:
        raise UsageError(
            "The backup holds databases, and data.mongodb is not set.",
            remedy="Set it, or restore with --only uploads.",
        )
    there, here = manifest.server.get("version", "0"), mongo.server().version
    if _release(here) < _release(there):
        raise RestoreError(
            f"The backup was made with MongoDB {there}, and {here} runs here. Nothing was touched.",
            remedy=f"Install MongoDB {there} or newer.",
        )
    for database, entry in manifest.collections():
        if entry.name.startswith(("system.", OURS, ".")) or {"$", "\0"} & {*entry.name}:
            raise RestoreError(
                f"The backup holds {database}.{entry.name!r}, which is no collection of an app's. "
                "Nothing was touched.",
                remedy="Use another backup; somebody edited this one.",
            )
    unknown = sorted(manifest.databases.keys() - set(mongo.databases))
    if unknown and to_database is None:
        raise UsageError(
            f"The backup holds {', '.join(unknown)}, which data.mongodb does not name.",
            remedy="Add it to data.databases, or load it elsewhere with --to-database.",
        )
    mongo.refuse_unsupported()


def _in_place(
    target: Source,
    backup: Backup,
    manifest: Manifest,
    only: str | None,
    report: Callable[[str], None],
) -> RestoreResult:
    if target.mongo and only in (None, "mongodb"):
        for database in manifest.databases:
            target.mongo.writer(database).drop_ours()  # of a run that was killed
    found = difference(target, manifest, only=only, report=report)
    with ExitStack() as stack:
        backed_up = stack.enter_context(Tree(backup.path))
        parts = _parts(target, manifest, found, stack, report)
        _staged(parts, backed_up)
        with _after_the_first_touch():
            for part in parts:
                part.swap()
    return RestoreResult(
        backup=backup.id,
        difference=found,
        to_database=None,
        warnings=tuple(_warnings(target, manifest)),
    )


def _parts(
    target: Source,
    manifest: Manifest,
    found: Difference,
    stack: ExitStack,
    report: Callable[[str], None],
) -> list[Load | Place | Settings]:
    """Return what has to be put back: uploads, then config, then databases.

    The databases come last: their swap is the shortest.
    """
    parts: list[Load | Place | Settings] = []
    for root in target.app.data.uploads:
        kept = kept_in(manifest, root)
        if any(f"{change.path}/".startswith(f"uploads/{root}/") for change in found.uploads):
            place = Place(target.app.checkout / root, root, kept, report)
            stack.callback(place.close)
            parts.append(place)
    if found.config:
        parts.append(Settings(target.stored_config(), manifest.files_by_path(), found.config))
    for database, entries in manifest.databases.items():
        changes = [change for change in found.collections if change.database == database]
        if changes and target.mongo:
            parts.append(Load(target.mongo.writer(database), database, entries, changes, report))
    return parts


def _staged(parts: list[Load | Place | Settings], backup: Tree) -> None:
    for part in parts:
        part.refuse_full_disk()
    try:
        for part in parts:
            part.refuse_full_disk()  # again: they may be on one disk
            part.stage(backup)
    except BaseException:
        for part in parts:
            _discard(part)
        raise


def _discard(part: Load | Place | Settings) -> None:
    try:
        part.discard()
    except (SheetanchorError, OSError) as error:
        log.warning("restore.left_behind", extra={"reason": str(error)})


def _warnings(target: Source, manifest: Manifest) -> Iterator[str]:
    kept = manifest.files_by_path()
    if not manifest.one_moment:
        yield f"The backup is not of one moment: {manifest.one_moment_why}."
    for database in target.mongo.databases if target.mongo else ():
        if database not in manifest.databases:
            yield f"The database {database} is not in the backup and stayed as it was."
    for root in target.app.data.uploads:
        if root not in manifest.uploads:
            yield f"{root} is not in the backup and stayed as it was."
    for stored, path in target.stored_config().items():
        if stored not in kept and path.exists():
            yield f"{path} is not in the backup and stayed as it was."


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise RestoreError(
            f"The restore failed before it replaced anything: {error}.",
            remedy="See that the disk has space and is healthy, then try again.",
        ) from error


@contextmanager
def _after_the_first_touch() -> Iterator[None]:
    try:
        yield
    except (SheetanchorError, OSError, ValueError) as error:
        why = error.message if isinstance(error, SheetanchorError) else str(error)
        raise RestoreError(
            f"The restore failed after it had begun to replace data: {why}",
            remedy="Mend that and run the same restore again: it does what is left.",
        ) from error


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
