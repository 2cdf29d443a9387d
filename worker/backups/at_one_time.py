"""Reads all collections at one cluster time, while the app goes on writing.

The dangers are in `mongo_snapshot`: what was dropped meanwhile reads as empty. So which
collections there are is asked before the time is fixed and after, and each is looked for
once it was read. Whatever is amiss, the whole dump is made again: part of it would be
of another time.
"""

from worker.adapters.files_tree import Tree
from worker.adapters.mongo_server import Collection
from worker.backups import proof
from worker.backups.dump import Before, Dump, Dumped, Entries, Read, with_reads
from worker.backups.manifest import CollectionEntry
from worker.backups.text import listed
from worker.errors import BackupError, MomentError

REMEDY = "Try again when the app makes and drops collections less, or with the app stopped."


class AtOneTime:
    """One try at a dump of all databases. The session belongs to one thread at a time."""

    def __init__(self, dump: Dump, tree: Tree, *, last: bool) -> None:
        self._dump = dump
        self._tree = tree
        self._last = last
        self._known: dict[str, Before] = {}

    def run(self, there: list[Collection], first: Collection) -> Dumped:
        """Return what was written. Raises MomentError when it is not of one time."""
        dump = self._dump
        dump.begin(self._tree)
        stored = [one for one in there if one.type != "view"]
        before = dump.before(stored)  # of a write counted later the snapshot may know nothing
        with dump.mongo.snapshot(first) as snapshot:
            if dump.collections() != there:
                raise MomentError(
                    "Collections were made, changed or dropped as the backup began.",
                    remedy=REMEDY,
                )
            self._known = dump.known(stored)  # later than the time: equal now is equal then
            # The server reads capped ones at no cluster time: at once, then, and by counters.
            written, moved = self._capped([one for one in stored if one.capped], before)
            for one in stored:
                if not one.capped:
                    written[one.namespace] = self._written(
                        one, before[one.namespace], snapshot.raw_batches
                    )
        for view in (one for one in there if one.type == "view"):
            written[view.namespace] = dump.view(self._tree, view)
        entries = {one.namespace: written[one.namespace] for one in there}
        return Dumped(
            entries=with_reads(entries, dump.mongo.readings(dump.mongo.still_there(stored))),
            one_moment=not moved,
            why=_why(snapshot.time, moved),
            cluster_time=snapshot.time,
        )

    def _capped(
        self, collections: list[Collection], before: dict[str, Before]
    ) -> tuple[Entries, list[str]]:
        """Write the capped ones; return those that moved too, on the last try only."""
        written: Entries = {}
        moved = []
        for one in collections:
            entry = self._written(one, before[one.namespace], self._dump.mongo.raw_batches)
            written[one.namespace] = entry
            if not proof.stood_still(entry, self._dump.mongo.reading(one)):
                moved.append(one.namespace)
                if not self._last:
                    raise MomentError(
                        f"{one.namespace} is capped and was written to while it was read.",
                        remedy="Try again when the app writes less to it.",
                    )
        return written, moved

    def _written(self, one: Collection, before: Before, read: Read) -> CollectionEntry:
        """Write a collection that is there before and after. Raises MomentError if it is not."""
        try:
            entry = self._dump.write(self._tree, one, before, self._known.get(one.namespace), read)
        except BackupError as error:
            if self._dump.mongo.is_there(one):
                raise
            raise _gone(one) from error
        if not self._dump.mongo.is_there(one):
            raise _gone(one)
        return entry


def _gone(one: Collection) -> MomentError:
    return MomentError(
        f"{one.namespace} was dropped, renamed or made anew while it was read.", remedy=REMEDY
    )


def _why(time: str, moved: list[str]) -> str:
    if not moved:
        return f"all collections are of the cluster time {time}"
    return (
        f"{listed(moved)} are capped, which MongoDB reads at no cluster time, and were written "
        f"to; all else is of the cluster time {time}"
    )
