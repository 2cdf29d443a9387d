"""Writes collections into a backup, each whole, and links what is provably as it was.

When each is read, and whether all of them together are of one moment, is for
`moments` to say.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from worker.adapters.files import closing
from worker.adapters.files_tree import Tree
from worker.adapters.mongo import Mongo
from worker.adapters.mongo_server import Collection, Reading
from worker.backups import proof, stream
from worker.backups.entries import entry_of, with_documents, write_metadata
from worker.backups.links import Links
from worker.backups.manifest import CollectionEntry
from worker.backups.progress import Progress
from worker.backups.text import size_text
from worker.clock import Clock, rfc3339

Read = Callable[[Collection], Iterable[bytes]]
Entries = dict[str, CollectionEntry]  # by `database.collection`


@dataclass(frozen=True, slots=True)
class Before:
    """A collection's counters before its documents are read; `settled`: nothing under way then."""

    reading: Reading
    moment: proof.Moment
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dumped:
    """All collections and views; `why` says how they are of one moment, or why they are not."""

    entries: Entries
    one_moment: bool
    why: str
    cluster_time: str | None = None

    def by_database(self, databases: Iterable[str]) -> dict[str, dict[str, CollectionEntry]]:
        """Return the entries as the manifest holds them."""
        found: dict[str, dict[str, CollectionEntry]] = {database: {} for database in databases}
        for namespace, entry in self.entries.items():
            found[namespace.partition(".")[0]][entry.name] = entry
        return found


class Dump:
    """Writes collections into a backup's folder, one at a time."""

    def __init__(
        self,
        mongo: Mongo,
        folder: Path,
        links: Links,
        clock: Clock,
        *,
        report: Callable[[str], None],
        progress: Progress,
    ) -> None:
        self.mongo = mongo
        self.report = report
        self._folder = folder
        self._links = links
        self._clock = clock
        self._progress = progress
        self._settling = proof.Settling(mongo, clock)

    def before(self, collections: Sequence[Collection]) -> dict[str, Before]:
        """Return the counters of collections, once the writes under way have ended."""
        moment, read = self.now(), self.mongo.readings(collections)
        settled = self._settling.wait()  # after the readings, before the data
        return {name: Before(reading, moment, settled) for name, reading in read.items()}

    def known(self, collections: Iterable[Collection]) -> dict[str, Before]:
        """Return the counters now of those that the earlier backup holds, to prove them equal."""
        moment, known = self.now(), [one for one in collections if self._previous(one)]
        read = self.mongo.readings(known)
        return {name: Before(reading, moment, settled=False) for name, reading in read.items()}

    def now(self) -> proof.Moment:
        """Return this moment."""
        return proof.now(self._clock)

    def collections(self) -> list[Collection]:
        """Return all collections and views of all databases."""
        databases = self.mongo.databases
        return [one for database in databases for one in self.mongo.collections(database)]

    def begin(self, tree: Tree) -> None:
        """Make a folder for each database; what an earlier try wrote there goes."""
        tree.remove("mongodb")
        self._links.made -= {path for path in self._links.made if path.startswith("mongodb/")}
        for path in ("mongodb", *(f"mongodb/{database}" for database in self.mongo.databases)):
            tree.make_folder(path)

    def view(self, tree: Tree, collection: Collection) -> CollectionEntry:
        """Write what a view is."""
        return write_metadata(tree, entry_of(collection))

    def write(
        self, tree: Tree, collection: Collection, before: Before, now: Before | None, read: Read
    ) -> CollectionEntry:
        """Write a collection's metadata and documents, or link to what provably holds them.

        `now`: the counters of a time at which, or after which, all that is written is read.
        """
        entry = write_metadata(tree, _counted(entry_of(collection), before))
        previous = self._previous(collection)
        if previous and now and proof.unchanged(previous, collection, now.reading, now.moment):
            # Equal counters: nothing was under way.
            linked = self._linked(_counted(entry, replace(now, settled=True)), previous)
            if linked:
                return linked
        written = self._read(tree, collection, entry, read)
        if previous and previous.sha256 == written.sha256:
            return self._linked(written, previous) or self._read(tree, collection, entry, read)
        return written

    def remove(self, tree: Tree, entry: CollectionEntry) -> None:
        """Remove what was written of a collection."""
        for path in filter(None, (entry.file, entry.metadata_file)):
            tree.remove(path)
            self._links.made.discard(path)

    def _read(
        self, tree: Tree, collection: Collection, entry: CollectionEntry, read: Read
    ) -> CollectionEntry:
        tree.remove(entry.file)
        self._links.made.discard(entry.file)

        done = (0, 0)

        def tick(size: int, documents: int) -> None:
            nonlocal done
            self._progress.add(size - done[0], documents=documents - done[1])
            done = size, documents

        with closing(tree.create(entry.file)) as descriptor:
            written = stream.write(read(collection), descriptor, tick)
        size = size_text(written.bytes)
        self.report(f"{collection.namespace}: {written.documents:,} documents, {size}")
        return with_documents(entry, written)

    def _linked(self, entry: CollectionEntry, previous: CollectionEntry) -> CollectionEntry | None:
        if not self._links.link(entry.file, self._folder):
            return None
        self._progress.add(previous.bytes, documents=previous.documents)
        return with_documents(entry, previous)

    def _previous(self, collection: Collection) -> CollectionEntry | None:
        if self._links.manifest is None:
            return None
        entries = self._links.manifest.databases.get(collection.database, {})
        found = entries.get(collection.name)
        return found if found and found.type == collection.type else None


def with_reads(entries: Entries, closing: Mapping[str, Reading]) -> Entries:
    """Return the entries with the reads of the last look, our own reading among them."""
    return {
        name: replace(entry, reads=max(entry.reads, closing[name].reads))
        if name in closing
        else entry
        for name, entry in entries.items()
    }


def _counted(entry: CollectionEntry, before: Before) -> CollectionEntry:
    return replace(
        entry,
        counters=dict(before.reading.writes),
        count=before.reading.documents,
        reads=before.reading.reads,
        process=before.reading.process,
        settled=before.settled,
        read_at=rfc3339(before.moment.wall),
        read_monotonic=before.moment.monotonic,
    )
