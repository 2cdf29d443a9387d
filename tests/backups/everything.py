"""A database with one of everything that a restore could get wrong."""

import datetime
import uuid

from bson import (
    SON,
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from gridfs import GridFS
from pymongo import ASCENDING, DESCENDING, GEO2D, GEOSPHERE, HASHED, TEXT, IndexModel
from pymongo.collation import Collation

ODD_NAMES = (
    "with space", "with/slash", "per%cent", "dots.in.it", "ünïcödé 漢字", "new\nline", "plus+",
    "a" * 200,  "漢" * 60, "-dash", "quote'\"", "_sheet", "%24", "tab\t", "emoji😀",
    "con", "*?<>|", "back\\slash", "UPPER", "upper",
)  # fmt: skip
EVERY_TYPE = {
    "double": 1.5,
    "nan": float("nan"),
    "minus_zero": -0.0,
    "infinity": float("inf"),
    "text": "zürich \x00 nul",
    "document": SON([("b", 1), ("a", {"deep": [1, [2, {"x": None}]]})]),
    "array": [1, "two", 3.0],
    "binary": Binary(b"\x00\xff", 0),
    "legacy_uuid": Binary(uuid.UUID(int=7).bytes, 3),
    "uuid": Binary(uuid.UUID(int=8).bytes, 4),
    "id": ObjectId("6b03d69eaba63a6d88a1eb28"),
    "true": True,
    "date": datetime.datetime(1969, 12, 31, 23, 59, 59, tzinfo=datetime.UTC),
    "no_datetime": DatetimeMS(2**62),  # BSON knows years that Python does not
    "null": None,
    "regex": Regex("^a.*b", "imx"),
    "reference": DBRef("users", ObjectId("6b03d69eaba63a6d88a1eb28"), "other"),
    "code": Code("function () { return 1 }"),
    "scoped": Code("function () { return x }", {"x": 1}),
    "int32": 7,
    "timestamp": Timestamp(4, 2),
    "int64": Int64(7),
    "decimal": Decimal128("1.10"),
    "min": MinKey(),
    "max": MaxKey(),
    "": "an empty name",
}
# What drivers no longer make, and a database may hold: undefined, a DBPointer, a symbol.
_OLD_TYPES = (
    b"\x07_id\x00" + b"o" * 12 + b"\x06undefined\x00"
    b"\x0cpointer\x00\x02\x00\x00\x00a\x00" + b"p" * 12 + b"\x0esymbol\x00\x02\x00\x00\x00s\x00"
)
OLD_TYPES = (len(_OLD_TYPES) + 5).to_bytes(4, "little") + _OLD_TYPES + b"\x00"
FAR_FUTURE = datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC)


def fill(db):
    """Make the collections; documents go in before validators that they do not fit."""
    _plain(db)
    _indexed(db)
    _special(db)
    _series(db)
    for number, name in enumerate(ODD_NAMES):
        db[name].insert_many([{"_id": i, "from": number} for i in range(number + 1)])


def _plain(db):
    db.create_collection("empty")
    db.types.insert_one(EVERY_TYPE)
    db.command("insert", "types", documents=[RawBSONDocument(OLD_TYPES)])
    GridFS(db).put(b"\x00\xff" * 300_000, filename="a file", owner="Ann")
    db.types.insert_one({"_id": SON([("y", 1), ("x", 2)]), "order": SON([("z", 1), ("a", 2)])})
    for key in (1, "1", 1.5, None, MinKey(), True, Binary(b"k", 5)):
        db.types.insert_one({"_id": key})
    db.big.insert_many([{"_id": i, "x": "x" * 5_000_000} for i in range(4)])


def _indexed(db):
    db.messages.insert_many(
        {"n": n, "text": f"hello {n}", "at": {"type": "Point", "coordinates": [n % 90, 1]}}
        for n in range(500)
    )
    db.messages.create_indexes(
        [
            IndexModel([("n", ASCENDING), ("text", DESCENDING)], name="two keys", unique=True),
            IndexModel([("text", TEXT)], weights={"text": 3}, default_language="german"),
            IndexModel([("at", GEOSPHERE)]),
            IndexModel([("text", HASHED)], name="hashed"),
            IndexModel([("n", -1)], name="some", partialFilterExpression={"n": {"$gt": 5}}),
            IndexModel([("opt", 1)], sparse=True, hidden=True),
            IndexModel([("$**", 1)], wildcardProjection={"at": 0}),
            IndexModel([("flat", GEO2D)], min=-10, max=10, bits=20),
            IndexModel([("text", 1)], unique=True, partialFilterExpression={"text": "hello 1"}),
            IndexModel([("at.type", HASHED), ("n", 1)], name="hashed with another"),
            IndexModel([("text", 1)], name="fr", collation=Collation("fr", strength=2)),
        ]
    )
    minus = {"key": {"n": -1.0}, "name": "minus"}  # not the same index as -1
    db.command("createIndexes", "messages", indexes=[minus])
    db.sessions.insert_many({"at": FAR_FUTURE, "n": n} for n in range(50))
    db.sessions.create_index("at", expireAfterSeconds=60)
    db.create_collection("names", collation=Collation("de", strength=1))
    db.names.insert_many([{"name": "Ä"}, {"name": "a2"}])
    db.names.create_index("name", unique=True)
    db.names.create_index("name", name="plain", collation=Collation("simple"))
    db.names.create_index([("bio", TEXT)], collation=Collation("simple"))


def _special(db):
    db.strict.insert_many([{"old": True}, {"old": True}])
    db.command("collMod", "strict", validator={"new": {"$exists": True}}, validationAction="error")
    db.create_collection("capped", capped=True, size=8192, max=20)
    db.capped.insert_many({"n": n} for n in range(50))
    db.create_collection("cl", clusteredIndex={"key": {"_id": 1}, "unique": True, "name": "by id"})
    db.cl.insert_many({"_id": f"k{n:03}"} for n in (5, 3, 9))
    db.create_collection(
        "cl_ttl", clusteredIndex={"key": {"_id": 1}, "unique": True}, expireAfterSeconds=3600
    )
    db.cl_ttl.insert_one({"_id": FAR_FUTURE})
    db.create_collection("view", viewOn="messages", pipeline=[{"$match": {"n": {"$gt": 3}}}])
    pipeline = [{"$match": {"text": {"$regex": "^h", "$options": "i"}, "n": {"$type": "int"}}}]
    db.create_collection("view with operators", viewOn="messages", pipeline=pipeline)
    db.create_collection("view with values", viewOn="types", pipeline=[{"$match": EVERY_TYPE}])
    db.create_collection("choosy", validator={"a": {"$regex": "^x"}, "b": Regex("^y")})
    db.create_collection("view of view", viewOn="view", pipeline=[{"$sort": SON(b=1, a=1)}])


def _series(db):
    options = {"timeField": "t", "metaField": "m", "granularity": "minutes"}
    db.create_collection("cpu", timeseries=options, expireAfterSeconds=400_000_000)
    db.cpu.create_index([("m.host", 1), ("t", -1)])
    begin = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
    db.cpu.insert_many(
        {"t": begin + datetime.timedelta(minutes=n), "m": {"host": n % 3}, "load": n * 0.5}
        for n in range(300)
    )
    db.cpu.insert_one({"t": begin, "m": {"host": 0}, "load": "a text"})  # of mixed types
    db.create_collection("empty series", timeseries={"timeField": "t"})
