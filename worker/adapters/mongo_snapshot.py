"""Reads many collections as they all were at one cluster time, while the app goes on writing.

Needs a replica set; one of a single member will do. The dangers are silent (all measured
on 6.0.5): a collection dropped or renamed after that time reads as empty without an error,
and a session whose first answer names no cluster time takes a new one for each read. And
the server offers the newest time that a *majority* has: a write that only the primary
acknowledged would be missing. So that is waited for first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bson.son import SON
from bson.timestamp import Timestamp
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern

from worker.adapters.mongo_batches import batches
from worker.adapters.mongo_errors import Translator
from worker.adapters.mongo_server import OURS, Collection
from worker.errors import MomentError

Client = MongoClient[SON[str, Any]]


class Snapshot:
    """All collections at `time`. One thread at a time may read, as a session demands."""

    def __init__(
        self, client: Client, session: ClientSession, translated: Translator, time: Timestamp
    ) -> None:
        self.time = f"{time.time}.{time.inc}"  # seconds since 1970, and a count within the second
        self._client = client
        self._session = session
        self._translated = translated

    def raw_batches(self, collection: Collection) -> Iterator[bytes]:
        """Yield the documents as BSON, many back to back. Raises MomentError.

        Of a collection that is gone since, there are none and no error: look afterwards.
        """
        with self._translated(f"read {collection.database}.{collection.name}"):
            database = self._client[collection.database]
            yield from batches(database, collection.stored, self._session)


@contextmanager
def opened(client: Client, translated: Translator, one: Collection) -> Iterator[Snapshot]:
    """Fix a cluster time by a read of `one`, after all that was acknowledged before."""
    with translated("wait for a majority of the replica set"):
        _wait_for_a_majority(client, one.database)
    with translated("begin to read at one cluster time"):
        session = client.start_session(snapshot=True)
    with session:
        with translated("begin to read at one cluster time"):
            first: SON[str, Any] = SON(find=one.stored, limit=1, singleBatch=True)
            answer = client[one.database].command(first, session=session)
        time = answer["cursor"].get("atClusterTime")
        if time is None:
            raise MomentError(
                f"{one.database}.{one.name} was dropped as the backup began.",
                remedy="Try again when the app does that less, or with the app stopped.",
            )
        yield Snapshot(client, session, translated, time)


def _wait_for_a_majority(client: Client, database: str) -> None:
    """Return when a majority has all that the primary has by now."""
    with client.start_session(causal_consistency=True) as session:
        client.admin.command("ping", session=session)  # its answer names the last operation
        nothing = client[database].get_collection(
            f"{OURS}nothing", read_concern=ReadConcern("majority")
        )
        nothing.find_one({}, session=session)
