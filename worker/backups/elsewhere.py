"""Loads a backup's database into another, empty one; nothing live is touched."""

import logging
from collections.abc import Callable

from worker.adapters.files_tree import Tree
from worker.adapters.mongo_writer import Writer
from worker.backups.catalogue import Backup
from worker.backups.difference import CollectionChange, Difference
from worker.backups.load import Load
from worker.backups.manifest import Manifest
from worker.backups.source import Source
from worker.errors import SheetanchorError, UsageError

log = logging.getLogger(__name__)


def load_into(
    target: Source,
    backup: Backup,
    manifest: Manifest,
    database: str,
    report: Callable[[str], None],
) -> Difference:
    """Load the backup's one database and return what was loaded.

    Raises UsageError unless there is exactly one, and `database` is empty and not live.
    A failure leaves it empty again.
    """
    if target.mongo is None or len(manifest.databases) != 1:
        raise UsageError(
            f"The backup holds {len(manifest.databases)} databases; one can be loaded elsewhere.",
            remedy="Load them by hand with mongorestore --nsFrom and --nsTo.",
        )
    ((source, entries),) = manifest.databases.items()
    writer = target.mongo.writer(database)
    if database in target.mongo.databases or not writer.is_empty():
        raise UsageError(
            f"The database {database} is live or not empty.",
            remedy="Name one that does not exist yet.",
        )
    changes = tuple(CollectionChange(source, name, "missing") for name in entries)
    try:
        load = Load(writer, source, entries, changes, report)
        with Tree(backup.path) as backed_up:
            load.stage(backed_up)
        load.swap()
    except BaseException:
        _empty(writer, list(entries))
        raise
    return Difference(collections=changes)


def _empty(writer: Writer, names: list[str]) -> None:
    try:
        writer.drop_ours()
        for name in names:
            writer.drop(name)
    except SheetanchorError as error:
        log.warning("restore.left_behind", extra={"reason": str(error)})
