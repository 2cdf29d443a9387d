"""Counts what was written to collections, and says which process of the server counted.

Counters prove nothing across two processes (`worker.backups.proof`), and a name may stand for
another collection by the time it is counted. So the process is asked before and after, and
the UUIDs last. One round trip a collection, and three for all.
"""

from collections.abc import Sequence
from typing import Any

from bson.son import SON
from pymongo import MongoClient

from worker.adapters.mongo_errors import Translator
from worker.adapters.mongo_format import ORDERED
from worker.adapters.mongo_listing import listed
from worker.adapters.mongo_server import Collection, Reading, process_of, reading_of, uuid_of

Client = MongoClient[SON[str, Any]]


def readings(
    client: Client, translated: Translator, collections: Sequence[Collection]
) -> dict[str, Reading]:
    """Return the counters now, by `database.collection`; of a vanished one, without a UUID."""
    if not collections:
        return {}
    process = _process(client, translated)
    stats = {}
    for one in collections:
        with translated(f"count what was written to {one.database}"):
            database = client.get_database(one.database, codec_options=ORDERED)
            stats[one.namespace] = database.command("collStats", one.stored)
    found = uuids(client, translated, collections)
    if _process(client, translated) != process:
        process = ""
    return {name: reading_of(each, found[name], process) for name, each in stats.items()}


def uuids(
    client: Client, translated: Translator, collections: Sequence[Collection]
) -> dict[str, str]:
    """Return the UUIDs of what has their names now, by `database.collection`; or empty ones."""
    found: dict[str, str] = {}
    for name in {one.database for one in collections}:
        asked = [one for one in collections if one.database == name]
        alone = asked[0].stored if len(asked) == 1 else None
        with translated(f"list the collections of {name}"):
            database = client.get_database(name, codec_options=ORDERED)
            there = {each["name"]: uuid_of(each) for each in listed(database, alone)}
        found |= {one.namespace: there.get(one.stored, "") for one in asked}
    return found


def _process(client: Client, translated: Translator) -> str:
    with translated("say what it is"):
        return process_of(client.admin.command("hello"))
