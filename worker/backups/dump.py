"""Writes the databases into a backup, and links what is provably as it was.

The danger is a live app: collections come and go while they are read, and a dropped one
reads as empty. So the list is taken again until it is what was written, by UUID.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from isal import isal_zlib

from worker.adapters.files import closing, sha256, write_all
from worker.adapters.files_tree import Tree
from worker.adapters.mongo import Mongo
from worker.adapters.mongo_format import file_stem, metadata
from worker.adapters.mongo_server import Collection, Reading
from worker.backups import proof, stream
from worker.backups.links import Links
from worker.backups.manifest import CollectionEntry
from worker.backups.progress import Progress
from worker.backups.text import size_text
from worker.clock import Clock, rfc3339
from worker.errors import BackupError

ROUNDS = 5


class Dump:
    """Writes all databases of an app into a backup's folder."""

    def __init__(
        self, mongo: Mongo, folder: Path, links: Links, clock: Clock, report: Callable[[str], None]
    ) -> None:
        self._mongo = mongo
        self._folder = folder
        self._links = links
        self._clock = clock
        self._report = report
        self._progress = Progress(report, clock)
        self._settling = proof.Settling(mongo, clock)

    def run(self) -> dict[str, dict[str, CollectionEntry]]:
        """Return what was written, by database and name. Raises BackupError."""
        return {database: self._database(database) for database in self._mongo.databases}

    def _database(self, database: str) -> dict[str, CollectionEntry]:
        written: dict[str, CollectionEntry] = {}
        with Tree(self._folder) as tree:
            tree.make_folder("mongodb")
            tree.make_folder(f"mongodb/{database}")
            for _ in range(ROUNDS):
                listed = {each.name: each for each in self._mongo.collections(database)}
                for name in [name for name in written if not _is(written[name], listed.get(name))]:
                    self._remove(tree, written.pop(name))
                missing = [each for name, each in listed.items() if name not in written]
                if not missing:
                    return {name: written[name] for name in listed}
                written |= self._write(tree, missing)
        raise BackupError(
            f"Collections of {database} kept being made, changed and dropped while it was read.",
            remedy="Try again when the app does that less, or with the app stopped.",
        )

    def _write(self, tree: Tree, collections: list[Collection]) -> dict[str, CollectionEntry]:
        written = {}
        for collection in collections:
            try:
                written[collection.name] = self._collection(tree, collection)
            except BackupError:
                if self._is_there(collection):
                    raise
                # It was dropped while it was read: the next round sees what is there now.
                self._remove(tree, _entry(collection))
        return written

    def _collection(self, tree: Tree, collection: Collection) -> CollectionEntry:
        entry = _write_metadata(tree, _entry(collection))
        if collection.type == "view":
            return entry
        moment = proof.now(self._clock)
        reading = self._mongo.reading(collection)
        settled = self._settling.wait()  # after the reading, before the data
        entry = _counted(entry, reading, moment, settled=settled)
        previous = self._previous(collection)
        if previous and proof.unchanged(previous, collection, reading, moment):
            linked = self._linked(entry, previous)
            if linked:
                return replace(linked, settled=True)  # equal counters: nothing was under way
        written = self._read(tree, collection, entry)
        if previous and previous.sha256 == written.sha256:
            return self._linked(written, previous) or self._read(tree, collection, entry)
        return written

    def _read(self, tree: Tree, collection: Collection, entry: CollectionEntry) -> CollectionEntry:
        tree.remove(entry.file)
        name = f"{collection.database}.{collection.name}"

        def tick(size: int) -> None:
            self._progress.tick(lambda: f"{name}: {size_text(size)} so far")

        with closing(tree.create(entry.file)) as descriptor:
            written = stream.write(self._mongo.raw_batches(collection), descriptor, tick)
        self._report(f"{name}: {written.documents:,} documents, {size_text(written.bytes)}")
        return replace(
            entry,
            documents=written.documents,
            bytes=written.bytes,
            sha256=written.sha256,
            file_size=written.file_size,
            file_sha256=written.file_sha256,
        )

    def _linked(self, entry: CollectionEntry, previous: CollectionEntry) -> CollectionEntry | None:
        if not self._links.link(entry.file, self._folder):
            return None
        return replace(
            entry,
            documents=previous.documents,
            bytes=previous.bytes,
            sha256=previous.sha256,
            file_size=previous.file_size,
            file_sha256=previous.file_sha256,
        )

    def _previous(self, collection: Collection) -> CollectionEntry | None:
        if self._links.manifest is None:
            return None
        entries = self._links.manifest.databases.get(collection.database, {})
        found = entries.get(collection.name)
        return found if found and found.type == "collection" else None

    def _is_there(self, collection: Collection) -> bool:
        listed = self._mongo.collections(collection.database)
        return any(each.uuid == collection.uuid for each in listed)

    def _remove(self, tree: Tree, entry: CollectionEntry) -> None:
        for path in filter(None, (entry.file, entry.metadata_file)):
            tree.remove(path)
            self._links.made.discard(path)


def _is(entry: CollectionEntry, collection: Collection | None) -> bool:
    return (
        collection is not None
        and (entry.type, entry.uuid) == (collection.type, collection.uuid)
        and proof.same(entry.options, collection.options)
        and proof.same_indexes(entry.indexes, collection.indexes)
    )


def entry_files(database: str, entry: CollectionEntry) -> list[str]:
    """Return where an entry's metadata, and its documents, must be in a backup."""
    stem = f"mongodb/{database}/{file_stem(entry.name)}"
    return [f"{stem}.metadata.json.gz", *([] if entry.type == "view" else [f"{stem}.bson.gz"])]


def _entry(collection: Collection) -> CollectionEntry:
    stem = f"mongodb/{collection.database}/{file_stem(collection.name)}"
    return CollectionEntry(
        name=collection.name,
        type=collection.type,
        options=collection.options,
        indexes=collection.indexes,
        uuid=collection.uuid,
        ttl=collection.ttl,
        capped=collection.capped,
        metadata_file=f"{stem}.metadata.json.gz",
        file="" if collection.type == "view" else f"{stem}.bson.gz",
    )


def metadata_of(entry: CollectionEntry) -> bytes:
    """Return what an entry's metadata.json holds."""
    return metadata(entry.name, entry.type, entry.options, entry.indexes, entry.uuid)


def _write_metadata(tree: Tree, entry: CollectionEntry) -> CollectionEntry:
    compressor = isal_zlib.compressobj(level=1, wbits=stream.GZIP)
    packed = compressor.compress(metadata_of(entry)) + compressor.flush()
    tree.remove(entry.metadata_file)
    with closing(tree.create(entry.metadata_file)) as descriptor:
        digest, size = sha256([packed], write_all(descriptor))
    return replace(entry, metadata_sha256=digest, metadata_size=size)


def _counted(
    entry: CollectionEntry, reading: Reading, moment: proof.Moment, *, settled: bool
) -> CollectionEntry:
    return replace(
        entry,
        counters=dict(reading.writes),
        count=reading.documents,
        reads=reading.reads,
        process=reading.process,
        settled=settled,
        read_at=rfc3339(moment.wall),
        read_monotonic=moment.monotonic,
    )
