"""What of the live data differs from a backup; the live data is only read.

The danger is to take for equal what is not: then a restore leaves it. So a collection
counts as equal only by proof (`proof.unchanged`) or after all of it was read and hashed,
and a file only if nobody can have written to it since, or after hashing. That something
differs needs no proof: it is put back.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from worker.adapters import files
from worker.adapters.files import Stat, closing
from worker.adapters.files_tree import Tree
from worker.adapters.mongo import Mongo
from worker.adapters.mongo_server import Collection, Reading
from worker.backups import proof, stream
from worker.backups.file_entries import as_stat, is_same_file
from worker.backups.file_list import FileEntry
from worker.backups.manifest import CollectionEntry, Json, Manifest
from worker.backups.source import STAGING, Source
from worker.clock import Clock

PARTS = ("mongodb", "uploads", "env")
NAMED = 5  # in a sentence


@dataclass(frozen=True, slots=True)
class CollectionChange:
    """A collection or view that differs. `what`: changed, indexes, missing, or new.

    `indexes`: the documents and options are those of the backup. `missing`: only the
    backup has it. `new`: only the live database has it. Else it is `changed`.
    """

    database: str
    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.database}.{self.name} ({self.what})"


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file, folder or link that differs. `what`: changed, metadata, missing, or new.

    `metadata`: only owner, mode or times. `path` is the one in the backup.
    """

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path} ({self.what})"


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs; false when nothing does."""

    collections: tuple[CollectionChange, ...] = ()
    uploads: tuple[FileChange, ...] = ()
    config: tuple[FileChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.collections or self.uploads or self.config)

    def summary(self) -> str:
        """Return a sentence for people."""
        changes = [*self.collections, *self.uploads, *self.config]
        if not changes:
            return "Nothing differs."
        more = f" and {len(changes) - NAMED} more" if len(changes) > NAMED else ""
        return f"{', '.join(map(str, changes[:NAMED]))}{more}."


def difference(
    source: Source,
    manifest: Manifest,
    *,
    only: str | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Difference:
    """Return what differs from the backup now. `only`: mongodb, uploads or env.

    What the backup or the configuration does not name is not looked at. Raises
    UnavailableError, or BackupError when something cannot be read.
    """
    parts = PARTS if only is None else (only,)
    mongo = source.mongo if "mongodb" in parts else None
    return Difference(
        collections=_collections(mongo, manifest, source.clock, report) if mongo else (),
        uploads=_uploads(source, manifest) if "uploads" in parts else (),
        config=_config(source, manifest) if "env" in parts else (),
    )


def upload_changes(
    live: dict[str, Stat], tree: Tree | None, kept: dict[str, FileEntry], root: str
) -> list[FileChange]:
    """Return what differs in one uploads folder; paths of `live` are relative to it."""
    changes = []
    for path, entry in kept.items():
        inner = path.removeprefix(f"uploads/{root}").lstrip("/")
        what = _file_change(live.get(inner), tree, inner, entry)
        changes += [FileChange(path, what)] if what else []
    stored = {f"uploads/{root}/{path}".rstrip("/") for path in live if path}
    return changes + [FileChange(path, "new") for path in sorted(stored - kept.keys())]


def _collections(
    mongo: Mongo, manifest: Manifest, clock: Clock, report: Callable[[str], None]
) -> tuple[CollectionChange, ...]:
    changes = []
    for database in mongo.databases:
        if database not in manifest.databases:
            continue
        entries = manifest.databases[database]
        live = {each.name: each for each in mongo.collections(database)}
        moment = proof.now(clock)
        now = mongo.readings([each for each in live.values() if each.type != "view"])
        for name in sorted(entries.keys() | live.keys()):
            counted = now.get(f"{database}.{name}"), moment
            what = _change(mongo, entries.get(name), live.get(name), *counted)
            if what:
                changes.append(CollectionChange(database, name, what))
        report(f"{database}: {len(live)} collections compared")
    return tuple(changes)


def _change(
    mongo: Mongo,
    entry: CollectionEntry | None,
    live: Collection | None,
    now: Reading | None,
    moment: proof.Moment,
) -> str:
    if entry is None or live is None:
        return "new" if live else "missing"
    if entry.type != live.type or not proof.same(entry.options, live.options):
        return "changed"
    if now is None or proof.unchanged(entry, live, now, moment):
        return ""  # a view is its options
    if _counts_differ(entry, live, now):
        return "changed"
    return _change_of_content(mongo, entry, live)


def _counts_differ(entry: CollectionEntry, live: Collection, now: Reading) -> bool:
    """Return whether the server's own numbers are others than those of the backup.

    Equal ones prove nothing. Wrong ones (a mongod that was killed knows those of its last
    checkpoint) let equal content count for changed: a load that nobody needed, no more. Of a
    time series the server counts buckets, whose bytes are its own business.
    """
    numbers = now.documents, now.bytes
    return live.type == "collection" and numbers != (entry.documents, entry.bytes)


def _change_of_content(mongo: Mongo, entry: CollectionEntry, live: Collection) -> str:
    if not proof.same_indexes(_id_index(entry.indexes), _id_index(live.indexes)):
        return "changed"  # it cannot be built anew
    if stream.measure(mongo.raw_batches(live)) != (entry.documents, entry.bytes, entry.sha256):
        return "changed"
    return "" if proof.same_indexes(entry.indexes, live.indexes) else "indexes"


def _id_index(indexes: Iterable[Json]) -> list[Json]:
    return [index for index in indexes if index["name"] == "_id_" or index.get("clustered")]


def _uploads(source: Source, manifest: Manifest) -> tuple[FileChange, ...]:
    changes: list[FileChange] = []
    for root in source.app.data.uploads:
        if root not in manifest.uploads:
            continue
        kept = kept_in(manifest, root)
        top = source.app.checkout / root
        if not top.is_dir():
            changes += upload_changes({}, None, kept, root)
            continue
        with Tree(top) as tree:
            changes += upload_changes(tree.scan(STAGING).entries, tree, kept, root)
    return tuple(changes)


def kept_in(manifest: Manifest, root: str) -> dict[str, FileEntry]:
    """Return what a backup holds of one uploads folder, by path in the backup."""
    top = f"uploads/{root}"
    return {e.path: e for e in manifest.files if e.path == top or e.path.startswith(f"{top}/")}


def _file_change(seen: Stat | None, tree: Tree | None, inner: str, entry: FileEntry) -> str:
    if seen is None or tree is None:
        return "missing"
    if (seen.type, seen.target) != (entry.type, entry.target):
        return "changed"
    if is_same_file(entry, seen):
        return ""
    if entry.type == "file" and (seen.size != entry.size or _hash(tree, inner) != entry.sha256):
        return "changed"
    return "" if same_metadata(entry, seen) else "metadata"


def same_metadata(entry: FileEntry, seen: Stat) -> bool:
    """Return whether owner, mode and time are equal; a folder's time is no difference."""
    wanted = as_stat(entry)
    if (wanted.uid, wanted.gid) != (seen.uid, seen.gid):
        return False
    if entry.type == "link":
        return True
    return wanted.mode == seen.mode and (entry.type == "dir" or wanted.mtime_ns == seen.mtime_ns)


def _hash(tree: Tree, path: str) -> str:
    with closing(tree.open(path)) as descriptor:
        return files.sha256(files.chunks(descriptor))[0]


def _config(source: Source, manifest: Manifest) -> tuple[FileChange, ...]:
    kept = manifest.files_by_path()
    changes = [
        FileChange(stored, what)
        for stored, path in source.stored_config().items()
        if stored in kept and (what := config_change(path, kept[stored]))
    ]
    return tuple(changes)


def config_change(path: Path, entry: FileEntry) -> str:
    """Return how a live config file differs: missing, changed, metadata, or not at all."""
    try:
        descriptor = files.open_followed(path)
    except OSError:
        return "missing"
    with closing(descriptor):
        seen = files.stat_of(descriptor)
        if files.sha256(files.chunks(descriptor)) != (entry.sha256, entry.size):
            return "changed"
    wanted = as_stat(entry)
    same = (wanted.mode, wanted.uid, wanted.gid) == (seen.mode, seen.uid, seen.gid)
    return "" if same else "metadata"
