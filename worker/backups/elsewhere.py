"""Loads a backup's database into another, empty one; nothing live is touched.

The danger is a name that is somebody's: a database of the app, of another app, MongoDB's
own, or one that holds anything at all. What a killed run of ours left there is removed.
"""

import logging
import re
from collections.abc import Callable

from worker.adapters import mongo_guards
from worker.adapters.files_tree import Tree
from worker.adapters.mongo_writer import Writer
from worker.backups.catalogue import Backup
from worker.backups.difference import CollectionChange, Difference
from worker.backups.load import Load
from worker.backups.manifest import Manifest
from worker.backups.source import Source
from worker.errors import SheetanchorError, UsageError

NAMED = 3  # collections in a sentence
ANOTHER = "Name one that does not exist yet."
MONGODB_S_OWN = ("admin", "config", "local")
_NAME = re.compile(r'[^/\\. "$*<>:|?\0]{1,63}')  # as MongoDB allows on every system

log = logging.getLogger(__name__)


def refuse_name(database: str) -> None:
    """Raise UsageError for a name that no database of an app may have."""
    if database in MONGODB_S_OWN:
        raise UsageError(f"The database {database} is MongoDB's own.", remedy=ANOTHER)
    if not _NAME.fullmatch(database):
        raise UsageError(
            f"MongoDB takes {database!r} for no database's name.",
            remedy="Use up to 63 letters, digits, - and _.",
        )


def load_into(
    target: Source,
    backup: Backup,
    manifest: Manifest,
    database: str,
    report: Callable[[str], None],
) -> Difference:
    """Load the backup's one database and return what was loaded.

    Raises UsageError unless there is exactly one, and `database` is nobody's.
    A failure leaves it empty again.
    """
    if target.mongo is None or len(manifest.databases) != 1:
        raise UsageError(
            f"The backup holds {len(manifest.databases)} databases; one can be loaded elsewhere.",
            remedy="Load them by hand with mongorestore --nsFrom and --nsTo.",
        )
    ((source, entries),) = manifest.databases.items()
    refuse_name(database)
    if database in target.mongo.databases:
        raise UsageError(f"The database {database} is live.", remedy=ANOTHER)
    writer = target.mongo.writer(database)
    with mongo_guards.looking(writer, target.mongo.restores_as):
        writer.drop_ours()
        names = writer.names()
    if there := sorted(name for name in names if not name.startswith("system.")):
        raise UsageError(
            f"The database {database} is not empty: it has {', '.join(there[:NAMED])}.",
            remedy=ANOTHER,
        )
    mongo_guards.check_restorable(writer, target.mongo.restores_as)
    changes = tuple(CollectionChange(source, name, "missing") for name in entries)
    try:
        load = Load(writer, source, entries, changes, report)
        load.refuse_full_disk()
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
