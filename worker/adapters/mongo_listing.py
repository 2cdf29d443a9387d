"""Lists collections with their options as they are.

pymongo's own `list_collections` decodes with default options, which fails on a date that
Python does not know (a view's pipeline may hold one).
"""

from collections.abc import Container, Iterator, Mapping
from typing import Any

from bson.son import SON
from pymongo.database import Database

from worker.adapters.mongo_format import ORDERED
from worker.adapters.mongo_server import BUCKETS, OURS, Collection, collection_of, uuid_of

NOT_OUR_DATA = ("system.views", "system.profile", "system.js")  # and a time series' buckets


def listed(database: Database[SON[str, Any]], name: str | None = None) -> Iterator[Any]:
    """Yield what listCollections says: of all, or of one name."""
    chosen = SON(name=name) if name is not None else SON[str, Any]()
    command = SON([("listCollections", 1), ("filter", chosen), ("cursor", SON())])
    answer = database.command(command, codec_options=ORDERED)["cursor"]
    yield from answer["firstBatch"]
    while answer["id"]:
        more = SON([("getMore", answer["id"]), ("collection", answer["ns"].partition(".")[2])])
        answer = database.command(more, codec_options=ORDERED)["cursor"]
        yield from answer["nextBatch"]


def described(database: Database[SON[str, Any]], found: Mapping[str, Any]) -> Collection:
    """Return a listed collection together with its indexes."""
    name, kind = found["name"], found.get("type", "collection")
    indexes = [] if kind == "view" else list(database[name].list_indexes())
    uuid = uuid_now(database, f"{BUCKETS}{name}") if kind == "timeseries" else uuid_of(found)
    return collection_of(database.name, found, indexes, uuid)


def of_kinds(database: Database[SON[str, Any]], kinds: Container[str]) -> list[Collection]:
    """Return the app's collections of these types by name, without ours and MongoDB's own."""
    found = [
        described(database, each)
        for each in listed(database)
        if each.get("type", "collection") in kinds
        and each["name"] not in NOT_OUR_DATA
        and not each["name"].startswith((OURS, BUCKETS))
    ]
    return sorted(found, key=lambda collection: collection.name)


def uuid_now(database: Database[SON[str, Any]], name: str) -> str:
    """Return the UUID of what has a name now; empty when nothing has, and for a view."""
    found = next(listed(database, name), None)
    return uuid_of(found) if found else ""
