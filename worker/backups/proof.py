"""Whether a collection is provably what a backup holds, without reading it again.

The danger is a proof that is none. WiredTiger counts the writes of each table from when
it opens it, so equal counters mean equal data only as long as nobody reset or outlived
them. All of this has to hold:

1. the same collection (UUID), the same options and indexes;
2. the same mongod process, and no election since: both start or undo counts;
3. every write counter, and the number of documents, as they were *before* the
   collection was read into the backup, with no write under way then (`settled`: a
   transaction counts when it writes and shows when it commits);
4. that reading less than 540 seconds ago, by both clocks: WiredTiger may sweep a table
   that was idle for 600 seconds from its cache, and its counters begin at 0 again;
5. the reads, which only grow, have not become fewer: the sign of such a reset;
6. no TTL: what expires may be under way without our seeing the monitor's operations.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from worker.adapters.mongo_server import Collection, Reading
from worker.backups.manifest import CollectionEntry
from worker.clock import Clock, parse

if TYPE_CHECKING:
    from worker.adapters.mongo import Mongo

TRUSTED_FOR = 540  # seconds; see rule 4
SETTLES_WITHIN = 2.0  # seconds that writes under way get to end before a collection is read
LOOKS_EVERY = 0.02  # seconds


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, by two clocks: one can be set, the other cannot."""

    wall: datetime
    monotonic: float


def now(clock: Clock) -> Moment:
    """Return this moment."""
    return Moment(clock.now(), clock.monotonic())


def unchanged(
    entry: CollectionEntry, collection: Collection, reading: Reading, moment: Moment
) -> bool:
    """Return whether the collection is provably what the entry's file holds."""
    return (
        entry.type == collection.type != "view"
        and not (entry.ttl or collection.ttl)
        and entry.uuid == collection.uuid == reading.uuid != ""
        and same(entry.options, collection.options)
        and same_indexes(entry.indexes, collection.indexes)
        and _same_counters(entry, reading)
        and _fresh(entry, moment)
    )


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal, the order of keys included."""
    return json.dumps(one) == json.dumps(other)


def same_indexes(one: Iterable[Mapping[str, Any]], other: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether two lists hold equal indexes, in whatever order."""
    return sorted(map(json.dumps, one)) == sorted(map(json.dumps, other))


def readings(mongo: "Mongo", *, expiring: bool = False) -> dict[str, Reading]:
    """Return the counters of every collection, by `database.collection`.

    Of expiring (TTL) ones, to which the server itself writes, only if they are asked for.
    """
    there = [one for database in mongo.databases for one in mongo.collections(database)]
    return mongo.readings(
        [one for one in there if one.type != "view" and (expiring or not one.ttl)]
    )


def fence_writers(before: Mapping[str, Reading], after: Mapping[str, Reading]) -> list[str]:
    """Return the collections that were written, made or dropped between two `readings`.

    With the app stopped that is a foreign writer. TTL collections are not in either.
    """
    return sorted(
        name
        for name in before.keys() | after.keys()
        if name not in before or name not in after or _moved(before[name], after[name])
    )


def stood_still(entry: CollectionEntry, reading: Reading) -> bool:
    """Return whether nothing was written since the counters of an entry were read.

    For a look soon after: rule 4 is the caller's to see to.
    """
    return entry.uuid == reading.uuid != "" and _same_counters(entry, reading)


def fresh(since: float, moment: Moment) -> bool:
    """Return whether counters that were in use until then, by the monotonic clock, still count."""
    return moment.monotonic - since < TRUSTED_FOR


class Settling:
    """Waits for writes to end, in the course of one backup."""

    def __init__(self, mongo: "Mongo", clock: Clock) -> None:
        self._mongo = mongo
        self._clock = clock
        self._stuck: set[str] = set()

    def wait(self) -> bool:
        """Wait for the writes that are under way now to end; return whether they did.

        Later ones do not matter: they count after the reading that was taken before
        this. What did not end in time once is not waited for again.
        """
        awaited = self._under_way()
        end = self._clock.monotonic() + SETTLES_WITHIN
        while awaited - self._stuck and self._clock.monotonic() < end:
            self._clock.sleep(LOOKS_EVERY)
            awaited &= self._under_way()
        self._stuck |= awaited
        return not awaited

    def _under_way(self) -> set[str]:
        return {operation.key for operation in self._mongo.operations(settling=True)}


def _moved(before: Reading, after: Reading) -> bool:
    return (before.uuid, before.process, before.documents, before.writes) != (
        after.uuid,
        after.process,
        after.documents,
        after.writes,
    ) or after.reads < before.reads


def _same_counters(entry: CollectionEntry, reading: Reading) -> bool:
    return (
        entry.settled
        and entry.process == reading.process != ""
        and entry.counters == reading.writes != {}
        and entry.count == reading.documents
        and entry.reads <= reading.reads
    )


def _fresh(entry: CollectionEntry, moment: Moment) -> bool:
    ages = (
        (moment.wall - parse(entry.read_at)).total_seconds(),
        moment.monotonic - entry.read_monotonic,
    )
    return all(0 <= age < TRUSTED_FOR for age in ages)
