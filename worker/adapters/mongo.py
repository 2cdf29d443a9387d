"""MongoDB: reading an app's databases, and what a restore does to them.

The danger is being believed: an acknowledged write that is not on disk, a read from a
secondary that lags, a collection that vanished and reads as empty. So all reads go to
the primary, writes wait for the majority and its journal, whatever the URI's options
say, and collections are known by their UUID.

Reading uses the app's own user; whatever a restore needs uses the admin URI if one is
configured. Callers wait and try again; nothing here does.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, Self

from bson.son import SON
from pymongo import MongoClient
from pymongo.database import Database

from worker.adapters import mongo_counters, mongo_guards, mongo_operations, mongo_snapshot
from worker.adapters.mongo_batches import batches
from worker.adapters.mongo_errors import Translator
from worker.adapters.mongo_format import ORDERED
from worker.adapters.mongo_listing import of_kinds, uuid_now
from worker.adapters.mongo_server import (
    Collection,
    Operation,
    Reading,
    Server,
    server_of,
)
from worker.adapters.mongo_snapshot import Snapshot
from worker.adapters.mongo_uri import database_of, host_uri, secrets_of, user_of
from worker.adapters.mongo_writer import Writer
from worker.errors import GuardError

APP_NAME = "sheetanchor"
FOUND_WITHIN = 5_000  # milliseconds, a server that takes the connection
ANSWERS_WITHIN = 120_000  # milliseconds, of a read
BUILDS_WITHIN = 3_600_000  # milliseconds, of an index build of a big collection

Client = MongoClient[SON[str, Any]]


class Mongo:
    """The databases of one app."""

    def __init__(self, client: Client, admin: Client, databases: tuple[str, ...]) -> None:
        self.databases = databases
        self.user: tuple[str, str] | None = None
        self.restores_as: tuple[str, str] | None = None
        self.translated = Translator()
        self._client = client
        self._admin = admin

    @classmethod
    def connect(
        cls, uri: str, databases: tuple[str, ...] = (), admin_uri: str | None = None
    ) -> Self:
        """Return the databases that the URI's path, or `databases`, name.

        Nothing is asked of the server yet. Raises GuardError for a URI that cannot be
        used, or when no database is named.
        """
        named = databases or tuple(filter(None, [database_of(uri)]))
        if not named:
            raise GuardError(
                "data.mongodb names no database in its path, and data.databases is not set.",
                remedy="End the URI with /name, or list the names in data.databases.",
            )
        translated = Translator(secrets_of(uri) + (secrets_of(admin_uri) if admin_uri else ()))
        with translated("be reached"):
            client = _client(uri, ANSWERS_WITHIN)
            admin = _client(admin_uri or uri, BUILDS_WITHIN)
        mongo = cls(client, admin, named)
        mongo.translated = translated
        mongo.user = user_of(uri)
        mongo.restores_as = user_of(admin_uri or uri)
        return mongo

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._admin.close()

    def ping(self) -> None:
        """Return if the primary answers this user. Raises UnavailableError otherwise."""
        with self.translated("answer"):
            for database in self.databases:  # `ping` itself needs no password
                self._database(database).command("listCollections", nameOnly=True)

    def server(self) -> Server:
        """Return the server's version, and which process of it this is."""
        with self.translated("say what it is"):
            hello = self._client.admin.command("hello")
            return server_of(hello, str(self._client.admin.command("buildInfo")["version"]))

    def feature_version(self) -> str | None:
        """Return the feature compatibility version, as 6.0; None for a user who may not ask.

        `readWrite` may not, `backup` and `restore` may (measured).
        """
        name = "featureCompatibilityVersion"
        with suppress(GuardError), self.translated(f"say its {name}"):
            return str(self._admin.admin.command({"getParameter": 1, name: 1})[name]["version"])
        return None

    def collections(self, database: str) -> list[Collection]:
        """Return the collections and views by name, without ours and MongoDB's own."""
        return self._listed(database, "collection", "view", "timeseries")

    def time_series(self, database: str) -> list[Collection]:
        """Return only those: nothing is asked about the others."""
        return self._listed(database, "timeseries")

    def left_out(self, database: str) -> list[str]:
        """Return the names of system collections that hold data and cannot be restored."""
        with self.translated(f"look into {database}"):
            opened = self._database(database)
            return ["system.js"] if opened["system.js"].find_one({}, {"_id": 1}) else []

    def reading(self, collection: Collection) -> Reading:
        """Return the collection's counters now; of a vanished one, without a UUID."""
        return self.readings([collection])[collection.namespace]

    def readings(self, collections: Sequence[Collection]) -> dict[str, Reading]:
        """Return what `reading` does of each, by `database.collection`, all from one process.

        Of two, one after the other, nothing would be proven: then they name none.
        """
        return mongo_counters.readings(self._client, self.translated, collections)

    def still_there(self, collections: Sequence[Collection]) -> list[Collection]:
        """Return those that still are the ones of their names, asked all at once."""
        found = mongo_counters.uuids(self._client, self.translated, collections)
        return [one for one in collections if found[one.namespace] == one.uuid]

    def count(self, collection: Collection) -> int:
        """Return how many documents there are, by reading them.

        After a mongod's death `reading` may know of none for as long as it runs: its
        number is the last checkpoint's, a minute old (MongoDB's manual, `count`; seen).
        """
        with self.translated(f"count the documents of {collection.database}.{collection.name}"):
            found = self._database(collection.database)[collection.stored]
            return int(found.count_documents({}))

    def is_there(self, collection: Collection) -> bool:
        """Return whether the collection still is the one of its name."""
        with self.translated(f"look for {collection.database}.{collection.name}"):
            opened = self._database(collection.database)
            return uuid_now(opened, collection.stored) == collection.uuid

    def raw_batches(self, collection: Collection) -> Iterator[bytes]:
        """Yield the collection's documents as BSON, many back to back, in stored order."""
        opened = self._database(collection.database)
        with (
            self.translated(f"read {collection.database}.{collection.name}"),
            self._client.start_session(causal_consistency=False) as session,
        ):
            yield from batches(opened, collection.stored, session)

    def snapshot(self, one: Collection) -> AbstractContextManager[Snapshot]:
        """Return what reads all collections at one cluster time, which a read of `one` fixes.

        Not capped ones: MongoDB refuses (code 246). Raises MomentError.
        """
        return mongo_snapshot.opened(self._client, self.translated, one)

    def size(self) -> int:
        """Return the bytes of all documents, uncompressed: the most that a backup takes."""
        total = 0
        for database in self.databases:
            with self.translated(f"measure {database}"):
                total += int(self._database(database).command("dbStats")["dataSize"])
        return total

    def operations(self, *, settling: bool = False) -> list[Operation]:
        """Return what runs on the databases and is not ours, open transactions included.

        A user without the right to see everybody's operations sees its own: the app's.
        `settling` leaves out what does not write.
        """
        with self.translated("list its operations"):
            found = mongo_operations.running(self._admin, self.databases, self.user, APP_NAME)
        return [operation for operation in found if operation.writes or not settling]

    def kill(self, operation: Operation) -> None:
        """End an operation or abort an open transaction; it may take a while to stop."""
        with self.translated(f"end {operation}"):
            mongo_operations.kill(self._admin, operation)

    def refuse_unsupported(self) -> None:
        """Raise GuardError for a sharded cluster, and for time series out of reach."""
        mongo_guards.refuse_unsupported(self)

    def check_restorable(self) -> None:
        """Raise GuardError unless the restoring user may do all that a restore does.

        Tried on scratch collections in each database, which are removed again, also
        those of a run that was killed.
        """
        for database in self.databases:
            series = bool(self.time_series(database))
            mongo_guards.check_restorable(self.writer(database), self.restores_as, series=series)

    def writer(self, database: str) -> Writer:
        """Return what a restore does to one database, as the user that may."""
        opened: Database[SON[str, Any]] = self._admin.get_database(database, codec_options=ORDERED)
        return Writer(opened, self.translated)

    def _listed(self, database: str, *kinds: str) -> list[Collection]:
        with self.translated(f"list the collections of {database}"):
            return of_kinds(self._database(database), kinds)

    def _database(self, name: str) -> Database[SON[str, Any]]:
        return self._client.get_database(name, codec_options=ORDERED)


def _client(uri: str, milliseconds: int) -> Client:
    return MongoClient(
        host_uri(uri),
        document_class=SON,
        appname=APP_NAME,
        serverSelectionTimeoutMS=FOUND_WITHIN,
        connectTimeoutMS=FOUND_WITHIN,
        socketTimeoutMS=milliseconds,
        readPreference="primary",
        readConcernLevel="local",
        w="majority",
        journal=True,
        retryReads=True,
    )
