"""What a restore does to one database.

Every write is acknowledged by the majority and its journal, or raises; of renames in a row
(`swap_in`) only the last is waited for. Documents go in as the bytes they were, past
validators: old documents may not fit a newer one.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson.raw_bson import RawBSONDocument
from bson.son import SON
from pymongo.database import Database

from worker.adapters.mongo_batches import batches
from worker.adapters.mongo_errors import Translator
from worker.adapters.mongo_format import Json, from_json
from worker.adapters.mongo_listing import described, listed
from worker.adapters.mongo_server import BUCKETS, OURS, Collection, process_of
from worker.errors import GuardError, RestoreError

# What a restore does, as MongoDB names it: `readWrite` and `restore` together may.
NEEDED = {
    *("find", "insert", "bypassDocumentValidation", "createCollection", "dropCollection"),
    *("createIndex", "dropIndex", "listCollections", "listIndexes", "renameCollectionSameDB"),
}
MAJORITY = {"w": "majority", "j": True, "wtimeout": 120_000}  # milliseconds
SETTLED = f"{OURS}settled"
AT_ONCE = {"w": 1}  # of the primary alone, and not on disk yet


class Writer:
    """One database, as the user that may restore it."""

    def __init__(self, database: Database[SON[str, Any]], translated: Translator) -> None:
        self.name = database.name
        self._database = database
        self._translated = translated

    def missing_rights(self) -> list[str]:
        """Return what of NEEDED the user may not do here. Only asks; `check_restorable` tries."""
        with self._translated("say what its user may do", RestoreError):
            asked = self._database.client.admin.command("connectionStatus", showPrivileges=True)
        found = asked["authInfo"]
        if not found["authenticatedUsers"]:  # a server without passwords
            return []
        granted = [
            action
            for one in found["authenticatedUserPrivileges"]
            if _covers(one["resource"], self.name)
            for action in one["actions"]
        ]
        return sorted(NEEDED - {*granted})

    def collection(self, name: str) -> Collection | None:
        """Return a collection with its indexes, ours too, or None."""
        with self._translated(f"look at {self.name}.{name}", RestoreError):
            found = next(listed(self._database, name), None)
            return described(self._database, found) if found else None

    def create(self, name: str, options: Json, id_index: Json | None = None) -> None:
        """Create a collection, or a view, with options in canonical extended JSON."""
        wanted = SON([("create", name), *from_json(options).items()])
        if id_index is not None:
            wanted["idIndex"] = from_json(id_index)
        self._run(wanted, f"create {self.name}.{name}")

    def insert(self, name: str, documents: Sequence[bytes]) -> None:
        """Insert documents as they are, in order, at most 48 MB and 100,000 of them."""
        raw = [RawBSONDocument(document) for document in documents]
        command: SON[str, Any] = SON(
            insert=name, documents=raw, ordered=True, bypassDocumentValidation=True
        )
        self._run(command, f"load documents into {self.name}.{name}")

    def raw_batches(self, name: str) -> Iterable[bytes]:
        """Yield what the collection holds, as `Mongo.raw_batches` does."""
        with (
            self._translated(f"read {self.name}.{name}", RestoreError),
            self._database.client.start_session(causal_consistency=False) as session,
        ):
            yield from batches(self._database, name, session)

    def create_indexes(self, name: str, indexes: Sequence[Json]) -> None:
        """Build the indexes, all in one go. A duplicate for a unique one raises."""
        if indexes:
            command: SON[str, Any] = SON(
                createIndexes=name, indexes=[from_json(index) for index in indexes]
            )
            self._run(command, f"build the indexes of {self.name}.{name}")

    def drop_index(self, name: str, index: str) -> None:
        """Drop an index by its name."""
        command: SON[str, Any] = SON(dropIndexes=name, index=index)
        self._run(command, f"drop the index {index} of {self.name}.{name}")

    def expire_after(self, name: str, seconds: Any) -> None:
        """Let a clustered collection's documents expire; `seconds` in extended JSON."""
        command: SON[str, Any] = SON(collMod=name, expireAfterSeconds=from_json(seconds))
        self._run(command, f"let documents of {self.name}.{name} expire")

    def swap_in(self, staged: str, name: str, *, waits: bool = True) -> None:
        """Let a staged collection take the place of `name` at once (2 ms, whatever its size).

        One that does not wait may be lost with its server until a later write that does wait
        was acknowledged by the same primary: its log is in order, so that holds this one, too.
        """
        doing = f"put {self.name}.{name} in its place"
        command: SON[str, Any] = SON(
            renameCollection=f"{self.name}.{staged}",
            to=f"{self.name}.{name}",
            dropTarget=True,
            writeConcern=MAJORITY if waits else AT_ONCE,
        )
        with self._translated(doing, RestoreError):
            _refuse_failures(self._database.client.admin.command(command), doing)

    def primary(self) -> str:
        """Return which primary answers: another one after a start of mongod, or an election."""
        with self._translated(f"say who holds {self.name}", RestoreError):
            return process_of(self._database.client.admin.command("hello"))

    def drop(self, name: str) -> None:
        """Drop a collection or a view; nothing happens when there is none."""
        with self._translated(f"drop {self.name}.{name}", RestoreError):
            self._database.drop_collection(name)

    def drop_ours(self) -> None:
        """Drop what a killed restore or check of ours left behind."""
        with self._translated(f"clean up in {self.name}", RestoreError):
            names = self._database.list_collection_names()
        for name in names:
            if name.startswith(OURS):
                self.drop(name)

    def settle(self) -> None:
        """Return when all that was written before is on disk, and at the majority.

        Also what a killed process sent and nobody was told of: a write waits for all before it.
        """
        self.create(SETTLED, {})
        self.drop(SETTLED)

    def names(self) -> list[str]:
        """Return the names of the collections and views, MongoDB's own and ours too.

        The buckets of a time series come and go with it.
        """
        with self._translated(f"look into {self.name}", RestoreError):
            names = self._database.list_collection_names()
        return [name for name in names if not name.startswith(BUCKETS)]

    def not_collections(self) -> set[str]:
        """Return the names of views and time series: a rename puts nothing in their place."""
        with self._translated(f"look into {self.name}", RestoreError):
            found = list(listed(self._database))
        return {one["name"] for one in found if one.get("type", "collection") != "collection"}

    def free_bytes(self) -> int | None:
        """Return what is free on the disk of mongod's dbPath, or None if it does not say.

        It tells (since 3.6) of a database that exists, and not every user about `admin`.
        """
        for database in (self._database, self._database.client.admin):
            with contextlib.suppress(GuardError):
                with self._translated(f"measure {database.name}", RestoreError):
                    found = database.command("dbStats")
                if total := int(found.get("fsTotalSize", 0)):
                    return total - int(found["fsUsedSize"])
        return None

    def _run(self, command: SON[str, Any], doing: str) -> None:
        with self._translated(doing, RestoreError):
            answer = self._database.command(SON([*command.items(), ("writeConcern", MAJORITY)]))
        _refuse_failures(answer, doing)


def _covers(resource: Mapping[str, Any], database: str) -> bool:
    """Whether a privilege is one on all of a database's own collections."""
    everywhere = bool(resource.get("anyResource"))
    return everywhere or (resource.get("collection") == "" and resource["db"] in ("", database))


def _refuse_failures(answer: Any, doing: str) -> None:
    """Raise for what a command reports beside `ok: 1`: refused documents, no majority."""
    failures = [*answer.get("writeErrors", ()), *filter(None, [answer.get("writeConcernError")])]
    if failures:
        raise RestoreError(
            f"MongoDB could not {doing}: {failures[0].get('errmsg', 'it did not say why')}.",
            remedy="Look into mongod's log for the cause, then try again.",
        )
