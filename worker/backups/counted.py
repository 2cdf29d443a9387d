"""Reads collection after collection, and proves by the write counters that nothing moved.

For a standalone, which reads nothing at a time of its own (code 123). What was written
meanwhile is read again, up to three times; then the backup says that it is not of one
moment. Nothing here stalls a writer: `dbHash` on a live app would, 2 s a gigabyte.
"""

from collections.abc import Mapping

from worker.adapters.files_tree import Tree
from worker.adapters.mongo_server import Collection, Reading
from worker.backups import proof
from worker.backups.dump import Dump, Dumped, Entries, with_reads
from worker.backups.entries import describes, entry_of
from worker.backups.text import listed
from worker.errors import BackupError

AGAIN = 3  # times that what moved is read again
ROUNDS = 5  # looks at which collections there are
REMEDY = "a mongod that runs with --replSet, alone in its set, gives backups of one moment"


class Counted:
    """One dump of all databases, caught up with until nothing moved."""

    def __init__(self, dump: Dump, tree: Tree) -> None:
        self._dump = dump
        self._tree = tree
        self._written: Entries = {}
        self._read_until: dict[str, float] = {}  # by the monotonic clock

    def run(self) -> Dumped:
        """Return what was written. Raises BackupError."""
        self._dump.begin(self._tree)
        for again in range(AGAIN + 1):
            self._catch_up()
            closing = proof.readings(self._dump.mongo, expiring=True)
            moved = self._moved(closing)
            counts = all(reading.writes for reading in closing.values())
            if not (moved and counts) or again == AGAIN:
                break
            self._dump.report(
                f"written to while they were read: {listed(moved)}; "
                f"read again ({again + 1} of {AGAIN})"
            )
            self._forget(moved)
        return Dumped(
            entries=with_reads(self._written, closing),
            one_moment=not moved,
            why=_why(moved, counts, again),
        )

    def _catch_up(self) -> None:
        """Write what is not written yet, until that is what there is, by UUID."""
        for _ in range(ROUNDS):
            there = {one.namespace: one for one in self._dump.collections()}
            self._forget([k for k, e in self._written.items() if not describes(e, there.get(k))])
            missing = [one for key, one in there.items() if key not in self._written]
            if not missing:
                self._written = {key: self._written[key] for key in there}
                return
            for collection in missing:
                self._write(collection)
        raise BackupError(
            "Collections kept being made, changed and dropped while they were read.",
            remedy="Try again when the app does that less, or with the app stopped.",
        )

    def _write(self, collection: Collection) -> None:
        dump, key = self._dump, collection.namespace
        if collection.type == "view":
            self._written[key] = dump.view(self._tree, collection)
            return
        before = dump.before([collection])[key]
        try:
            entry = dump.write(self._tree, collection, before, before, dump.mongo.raw_batches)
        except BackupError:
            if dump.mongo.is_there(collection):
                raise
            # It was dropped while it was read: the next round sees what is there now.
            dump.remove(self._tree, entry_of(collection))
            return
        self._written[key], self._read_until[key] = entry, dump.now().monotonic

    def _forget(self, names: list[str]) -> None:
        for name in names:
            if name in self._written:
                self._dump.remove(self._tree, self._written.pop(name))

    def _moved(self, closing: Mapping[str, Reading]) -> list[str]:
        """Return what was written to since it was read, or may have been, or came or went."""
        now = self._dump.now()
        stored = {key: entry for key, entry in self._written.items() if entry.type != "view"}
        return sorted(
            key
            for key in stored.keys() | closing.keys()
            if key not in stored
            or key not in closing
            or not proof.stood_still(stored[key], closing[key])
            or not proof.fresh(self._read_until[key], now)
        )


def _why(moved: list[str], counts: bool, again: int) -> str:
    if not counts:
        return f"the server does not count writes, so nobody knows ({REMEDY})"
    if moved:
        return (
            f"written to while it was made, also when read again {again} times: "
            f"{listed(moved)} ({REMEDY})"
        )
    return "nothing was written while it was made, the write counters say"
