"""Lists collections with their options as they are.

pymongo's own `list_collections` decodes with default options, which fails on a date that
Python does not know (a view's pipeline may hold one).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bson.son import SON
from pymongo.database import Database

from worker.adapters.mongo_format import ORDERED
from worker.adapters.mongo_server import Collection, collection_of


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
    plain = found.get("type", "collection") == "collection"
    indexes = list(database[found["name"]].list_indexes()) if plain else []
    return collection_of(database.name, found, indexes)
