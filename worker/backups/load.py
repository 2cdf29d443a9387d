"""Loads collections back: staged beside the live ones, proven, then swapped in.

The danger is a live database that is half old, half new. So everything that can fail
(loading, the read-back, unique indexes) happens to collections of our own name in the
same database first, for all of them; the swap is a rename each, 2 ms whatever the size.
From another database it would be a copy: 35 s where the whole restore takes 14
(measured). Killed in between, a second run does what is left.

A time series cannot be renamed. It is proven beside all the same; then, as the first thing
of the swap, the live one is dropped and loaded: the data as it was is in the safety backup.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from worker.adapters import files
from worker.adapters.files import closing
from worker.adapters.files_tree import Tree
from worker.adapters.mongo_server import OURS
from worker.adapters.mongo_writer import Writer
from worker.backups import stream
from worker.backups.ahead import ahead
from worker.backups.builds import Builds, Look, looking
from worker.backups.difference import CollectionChange
from worker.backups.entries import entry_files, stored_as
from worker.backups.indexes import Indexes, lasting
from worker.backups.manifest import CollectionEntry
from worker.backups.progress import Progress
from worker.backups.text import size_text
from worker.errors import FullError, RestoreError, UnavailableError

BATCH_BYTES = 8 << 20
BATCH_DOCUMENTS = 50_000  # the server's limit is 100,000
ROOM = 100 << 20  # bytes that mongod keeps: its journal grows by a file of that size


class Load:
    """Restores what differs in one database; `source` is its name in the backup."""

    def __init__(
        self,
        writer: Writer,
        source: str,
        entries: dict[str, CollectionEntry],
        changes: Sequence[CollectionChange],
        report: Callable[[str], None],
    ) -> None:
        self._writer = writer
        self._indexes = Indexes(writer, source)
        self._source = source
        self._backup: Tree | None = None
        self._report = report
        self._progress = Progress(report, what=f"{source} loaded")
        self._changes = changes
        self._wanted = [entries[c.name] for c in changes if c.name in entries]
        self._mended = [entries[c.name] for c in changes if c.what == "indexes"]
        reloaded = [entry for entry in self._wanted if entry not in self._mended]
        self._views = [entry for entry in reloaded if entry.type == "view"]
        # A name of their own, numbered: a long name with a prefix can be too long (255 bytes).
        self._staged = {
            f"{OURS}restore.{number:04}": entry
            for number, entry in enumerate(e for e in reloaded if e.type != "view")
        }

        self._progress.whole = sum(entry.bytes for entry in self._staged.values())

    def refuse_full_disk(self) -> None:
        """Raise FullError where what is staged might not fit: a full disk ends mongod itself.

        mongod's own compression packs less tightly than ours: 358 and 86 MB of indexes where
        a backup had 258 (measured). What does not compress takes no more than it is.
        """
        staged = self._staged.values()
        needed = ROOM + sum(min(entry.bytes, 2 * entry.file_size) for entry in staged)
        free = self._writer.free_bytes()
        if staged and free is not None and needed > free:
            raise FullError(
                f"{self._source} needs about {size_text(needed)} beside the live collections, and "
                f"{size_text(free)} are free on mongod's disk.",
                remedy="Free some space there; nothing live was touched.",
            )

    def stage(self, backup: Tree) -> None:
        """Load, prove and index everything beside the live data.

        `backup` must stay open until the swap, which reads time series again.
        """
        self._backup = backup
        self._progress.begin()
        with Builds(self._indexes.build, self._writer.drop) as builds:
            for staged, entry in self._staged.items():
                self._load(backup, staged, entry, builds.look)
                if len(entry.indexes) > 1:
                    self._report(f"{self._source}.{entry.name}: building its indexes")
                builds.add(staged, entry)
                self._prove(staged, entry, builds.look)
            builds.finish(lambda: self._progress.tick(lambda: f"{self._source}: building indexes"))

    def swap(self) -> None:
        """Let what was staged take its place; drop what the backup does not have."""
        self._swap_staged()
        for entry in self._mended:
            self._indexes.mend(entry)
        for change in self._changes:
            if change.what == "new":
                self._writer.drop(change.name)
        for entry in self._views:
            self._writer.drop(entry.name)
            self._writer.create(entry.name, entry.options)
        for entry in [*self._staged.values(), *self._mended]:
            if entry.ttl:
                self._indexes.let_expire(entry)

    def _swap_staged(self) -> None:
        renamed = {}
        for staged, entry in self._staged.items():
            if entry.type == "timeseries":
                self._load_in_place(staged, entry)
            else:
                renamed[staged] = entry.name
        in_the_way = self._writer.not_collections() & {*renamed.values()}
        for name in in_the_way:
            self._writer.drop(name)
        if renamed:
            self._rename(renamed)

    def _rename(self, renamed: dict[str, str]) -> None:
        """Rename all, and wait for the disk once: for the last one, which the log has after all.

        Whatever dies before that, this raises or never returns, and a second run finds by
        their content those that were lost. Another primary might have lost some and take the
        last all the same, so it must be the one from before.
        """
        *early, last = renamed
        primary = self._writer.primary()
        for staged in early:
            self._writer.swap_in(staged, renamed[staged], waits=not primary)
        self._writer.swap_in(last, renamed[last])
        if self._writer.primary() != primary:
            raise UnavailableError(
                f"Another MongoDB became the primary while {self._source} was put in place.",
                remedy="Run the same restore again: it does what is left.",
            )

    def discard(self) -> None:
        """Drop what was staged."""
        self._writer.drop_ours()

    def _load(self, backup: Tree, name: str, entry: CollectionEntry, look: Look) -> None:
        id_index = next((i for i in entry.indexes if i["name"] == "_id_"), None)
        clustered = "clusteredIndex" in entry.options
        self._writer.create(name, lasting(entry), None if clustered else id_index)
        stored = stored_as(entry.type, name)
        with closing(backup.open(entry_files(self._source, entry)[-1])) as descriptor:
            documents = stream.split(stream.unpacked(files.chunks(descriptor)))
            with contextlib.closing(ahead(_batches(documents))) as batches:
                for batch in looking(batches, look):
                    self._writer.insert(stored, batch)
                    self._progress.add(sum(map(len, batch)), documents=len(batch))

    def _prove(self, name: str, entry: CollectionEntry, look: Look) -> None:
        parts = self._writer.raw_batches(stored_as(entry.type, name))
        found = stream.measure(looking(parts, look))
        if found != (entry.documents, entry.bytes, entry.sha256):
            raise RestoreError(
                f"{self._source}.{entry.name} read back as {found[0]:,} documents of "
                f"{found[1]:,} bytes, not as {entry.documents:,} of {entry.bytes:,} with the "
                "SHA-256 of the backup.",
                remedy="Look into mongod's log; the live data was not touched.",
            )
        self._report(f"{self._source}.{entry.name}: {size_text(entry.bytes)} loaded beside it")

    def _load_in_place(self, staged: str, entry: CollectionEntry) -> None:
        if self._backup is None:
            raise ValueError("a swap before its staging")
        self._writer.drop(entry.name)
        self._load(self._backup, entry.name, entry, _alone)
        self._prove(entry.name, entry, _alone)
        self._indexes.build(entry.name, entry)
        self._writer.drop(staged)


def _alone() -> None:
    """Look at nothing: nobody builds meanwhile."""


def _batches(found: Iterable[list[bytes]]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for documents in found:
        for document in documents:
            full = size + len(document) > BATCH_BYTES or len(batch) >= BATCH_DOCUMENTS
            if batch and full:  # one document may be twice as large as a batch
                yield batch
                batch, size = [], 0
            batch.append(document)
            size += len(document)
    if batch:
        yield batch
