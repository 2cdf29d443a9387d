"""Puts an app's data back as a backup holds it; only what differs.

The danger is to make it worse. So the backup is read back first, whole; then everything
is staged beside the live data and proven; only then is anything live replaced, by
renames. A failure before that leaves the live data as it was; after that, and after a
kill at any point, a second run finishes it. The caller holds the app's lock, has stopped
the app, and has made a safety backup.
"""

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from worker.adapters.files_tree import Tree
from worker.backups.catalogue import Backup
from worker.backups.difference import Difference, difference, kept_in
from worker.backups.elsewhere import load_into
from worker.backups.load import Load
from worker.backups.manifest import Manifest
from worker.backups.place import Place, was_killed
from worker.backups.refusals import checked
from worker.backups.settings import Settings
from worker.backups.source import Source
from worker.errors import (
    FullError,
    RestoreError,
    SheetanchorError,
    UnavailableError,
)

UPLOADS = (None, "uploads")  # what `only` says when they are restored, too

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
    manifest = checked(target, backup, only, to_database, report)
    with _in_our_words():
        if to_database is not None:
            return RestoreResult(
                backup=backup.id,
                difference=load_into(target, backup, manifest, to_database, report),
                to_database=to_database,
                warnings=(),
            )
        return _in_place(target, backup, manifest, only, report)


def _in_place(
    target: Source,
    backup: Backup,
    manifest: Manifest,
    only: str | None,
    report: Callable[[str], None],
) -> RestoreResult:
    if target.mongo and only in (None, "mongodb"):
        for database in manifest.databases:
            writer = target.mongo.writer(database)
            writer.drop_ours()  # of a run that was killed
            writer.settle()  # its renames, too: what is read now must not be undone later
    found = difference(target, manifest, only=only, report=report)
    with ExitStack() as stack:
        backed_up = stack.enter_context(Tree(backup.path))
        parts: list[Place | Settings | Load] = []
        for place in _places(target, manifest, found, report) if only in UPLOADS else ():
            stack.callback(place.close)
            parts.append(place)
        parts += _parts(target, manifest, found, report)
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
    target: Source, manifest: Manifest, found: Difference, report: Callable[[str], None]
) -> list[Settings | Load]:
    """Return what has to be put back of config and databases.

    The databases come last of all: their swap is the shortest.
    """
    parts: list[Settings | Load] = []
    if found.config:
        parts.append(Settings(target.stored_config(), manifest.files_by_path(), found.config))
    for database, entries in manifest.databases.items():
        changes = [change for change in found.collections if change.database == database]
        if changes and target.mongo:
            parts.append(Load(target.mongo.writer(database), database, entries, changes, report))
    return parts


def _places(
    target: Source, manifest: Manifest, found: Difference, report: Callable[[str], None]
) -> Iterator[Place]:
    """Yield the uploads folders that have to be put back, or that a killed run left unfinished."""
    for root in target.app.data.uploads:
        top, kept = target.app.checkout / root, kept_in(manifest, root)
        differs = any(f"{one.path}/".startswith(f"uploads/{root}/") for one in found.uploads)
        if differs or was_killed(top):
            yield Place(top, root, kept, report)


def _staged(parts: list[Place | Settings | Load], backup: Tree) -> None:
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


def _discard(part: Place | Settings | Load) -> None:
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
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (FullError if full else RestoreError)(
            f"The restore failed before it replaced anything: {error}.",
            remedy="See that the disk has space and is healthy, then try again.",
        ) from error


@contextmanager
def _after_the_first_touch() -> Iterator[None]:
    """Say that live data was touched. What is only away stays that: it is waited for."""
    try:
        yield
    except (SheetanchorError, OSError, ValueError) as error:
        why = error.message if isinstance(error, SheetanchorError) else str(error)
        kind = UnavailableError if isinstance(error, UnavailableError) else RestoreError
        raise kind(
            f"The restore failed after it had begun to replace data: {why}",
            remedy="Mend that and run the same restore again: it does what is left.",
        ) from error
