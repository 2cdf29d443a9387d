"""The indexes of collections that are put back: built after the documents, and proven.

Built before them a restore takes 1.7 times as long (measured). The TTL indexes come last of
all: the monitor deletes expired documents as soon as there is one.
"""

from collections.abc import Callable, Iterable, Sequence

from worker.adapters.mongo_server import expires
from worker.adapters.mongo_writer import Writer
from worker.backups import proof
from worker.backups.manifest import CollectionEntry, Json
from worker.errors import RestoreError

EXPIRE = "expireAfterSeconds"


class Indexes:
    """Builds indexes in one database; `source` is its name in the backup."""

    def __init__(self, writer: Writer, source: str) -> None:
        self._writer = writer
        self._source = source

    def build(self, staged: str, entry: CollectionEntry) -> None:
        """Build all but the TTL ones; prove them and the options, once the documents are in."""
        wanted = [index for index in entry.indexes if not expires(index)]
        if entry.type == "timeseries":  # newer servers give it an index by themselves
            self._drop_others(staged, wanted)
        self._writer.create_indexes(staged, _buildable(entry, lambda i: not expires(i)))
        found = self._writer.collection(staged)
        if (
            found is None
            or not proof.same(found.options, lasting(entry))
            or not proof.same_indexes(found.indexes, wanted)
        ):
            raise RestoreError(
                f"{self._source}.{entry.name} could not be given the options and indexes of "
                "the backup.",
                remedy="See whether mongod's version is the backup's; nothing live was touched.",
            )

    def mend(self, entry: CollectionEntry) -> None:
        """Give a live collection the indexes of the backup; its documents are those already."""
        live = self._writer.collection(entry.name)
        if live is None:
            return
        self._drop_others(entry.name, entry.indexes)
        missing = _buildable(entry, lambda i: not expires(i) and not _in(i, live.indexes))
        self._writer.create_indexes(entry.name, missing)

    def let_expire(self, entry: CollectionEntry) -> None:
        """Let a live collection's documents expire as they did."""
        live = self._writer.collection(entry.name)
        present = live.indexes if live else []
        expiring = _buildable(entry, lambda i: expires(i) and not _in(i, present))
        self._writer.create_indexes(entry.name, expiring)
        if EXPIRE in entry.options:
            self._writer.expire_after(entry.name, entry.options[EXPIRE])

    def _drop_others(self, name: str, wanted: Sequence[Json]) -> None:
        found = self._writer.collection(name)
        for index in found.indexes if found else ():
            if not _in(index, wanted):
                self._writer.drop_index(name, index["name"])


def lasting(entry: CollectionEntry) -> Json:
    """Return the options of a collection whose documents do not expire yet."""
    return {key: value for key, value in entry.options.items() if key != EXPIRE}


def _buildable(entry: CollectionEntry, wanted: Callable[[Json], bool]) -> list[Json]:
    """Return the indexes to build, as createIndexes takes them.

    listIndexes does not print a simple collation: without it said, an index would take
    the collection's own, and a text index fails (code 67).
    """
    simple = {"collation": {"locale": "simple"}} if "collation" in entry.options else {}
    return [
        {**simple, **index}
        for index in entry.indexes
        if index["name"] != "_id_" and not index.get("clustered") and wanted(index)
    ]


def _in(index: Json, indexes: Iterable[Json]) -> bool:
    return any(proof.same(index, each) for each in indexes)
