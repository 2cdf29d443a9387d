"""What a MongoDB server says of itself and of its collections: plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.adapters.mongo_format import Json, to_json

OURS = "_sheetanchor_"  # begins the name of every collection that we make for a while
BUCKETS = "system.buckets."  # begins the name of what holds a time series' documents
SNAPSHOTS_SINCE = 13  # the wire version of MongoDB 5.0
_WRITES = ("insert", "update", "modify", "remove", "truncate")
_READS = ("next calls", "prev calls", "search calls", "search near calls", "reset calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server: `process` changes with every start of mongod and every election."""

    version: str
    process: str
    replica_set: str | None
    sharded: bool
    snapshots: bool = False  # whether it reads many collections at one cluster time


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A collection, view or time series; options and indexes in canonical extended JSON."""

    database: str
    name: str
    type: str  # collection, view, timeseries
    options: Json
    indexes: list[Json]
    uuid: str  # hex; empty for a view; a time series has that of its buckets

    @property
    def namespace(self) -> str:
        """Its database and its name; no database has a dot in its own."""
        return f"{self.database}.{self.name}"

    @property
    def stored(self) -> str:
        """The name of what holds the documents: a time series keeps them in buckets."""
        return f"{BUCKETS}{self.name}" if self.type == "timeseries" else self.name

    @property
    def ttl(self) -> bool:
        """Whether documents expire by themselves."""
        return "expireAfterSeconds" in self.options or any(map(expires, self.indexes))

    @property
    def capped(self) -> bool:
        """Whether old documents give way to new ones."""
        return bool(self.options.get("capped"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A collection's counters at one moment, as WiredTiger counts them since it opened it.

    `writes` is empty where the storage engine does not count: then nothing is proven.
    """

    uuid: str
    writes: Mapping[str, int]
    reads: int
    documents: int
    bytes: int
    process: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Something that runs on the server: an operation, or a transaction left open."""

    id: Any  # opid, or the session of an open transaction
    key: str  # the same only while it is the same operation, or the same transaction
    namespace: str
    what: str
    seconds: float
    writes: bool
    client: str
    app_name: str

    def __str__(self) -> str:
        who = f"{self.app_name or 'a client'} at {self.client or 'the server itself'}"
        return f"{self.what} on {self.namespace} by {who} for {self.seconds:.0f} s"


def expires(index: Mapping[str, Any]) -> bool:
    """Return whether an index is a TTL index."""
    return "expireAfterSeconds" in index


def server_of(hello: Mapping[str, Any], version: str) -> Server:
    """Return the server that answered `hello`."""
    return Server(
        version=version,
        process=process_of(hello),
        replica_set=hello.get("setName"),
        sharded=hello.get("msg") == "isdbgrid",
        snapshots="setName" in hello and hello.get("maxWireVersion", 0) >= SNAPSHOTS_SINCE,
    )


def process_of(hello: Mapping[str, Any]) -> str:
    """Return which process of the server answered `hello`; empty when it does not say."""
    topology = hello.get("topologyVersion") or {}
    # An election can undo writes without a restart (roll-back), so it counts as another process.
    process = "/".join(str(part) for part in (topology.get("processId"), hello.get("electionId")))
    return process if topology.get("processId") else ""


def uuid_of(listed: Mapping[str, Any]) -> str:
    """Return a listed collection's UUID in hex; empty for a view and a time series."""
    uuid = listed.get("info", {}).get("uuid")
    return bytes(uuid).hex() if uuid is not None else ""


def collection_of(
    database: str, listed: Mapping[str, Any], indexes: list[Any], uuid: str
) -> Collection:
    """Return the collection that `listCollections` and `listIndexes` describe."""
    return Collection(
        database=database,
        name=listed["name"],
        type=listed.get("type", "collection"),
        options=to_json(listed.get("options", {})),
        indexes=[{k: v for k, v in to_json(index).items() if k != "ns"} for index in indexes],
        uuid=uuid,
    )


def reading_of(stats: Mapping[str, Any], uuid: str, process: str) -> Reading:
    """Return the counters in a collStats answer."""
    cursor = stats.get("wiredTiger", {}).get("cursor", {})
    return Reading(
        uuid=uuid,
        writes={
            name: int(value)
            for name, value in sorted(cursor.items())
            if any(word in name for word in _WRITES)
        },
        reads=sum(int(cursor.get(name, 0)) for name in _READS),
        documents=int(stats.get("count", 0)),
        bytes=int(stats.get("size", 0)),
        process=process,
    )
