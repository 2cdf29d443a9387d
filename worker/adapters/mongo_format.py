"""How mongodump writes: file names, metadata and the frames of a .bson file.

What is written here must be read by `mongorestore --gzip`, and the other way round.
Extended JSON is canonical throughout: an index key -1.0 that comes back as 1 is
another index (mongo-tools TOOLS-3708).
"""

import base64
import hashlib
import json
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import bson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON
from bson.json_util import CANONICAL_JSON_OPTIONS, JSONOptions
from bson.son import SON

Json = dict[str, Any]

# Dates as milliseconds: BSON knows years that Python's datetime does not.
_DATES = DatetimeConversion.DATETIME_MS
_OPTIONS: JSONOptions = CANONICAL_JSON_OPTIONS.with_options(
    document_class=SON, datetime_conversion=_DATES
)
ORDERED: CodecOptions[SON[str, Any]] = CodecOptions(document_class=SON, datetime_conversion=_DATES)

# How canonical extended JSON writes what JSON has no word for: exactly these keys together.
_WRAPPED = {
    *(frozenset([f"$number{kind}"]) for kind in ("Int", "Long", "Double", "Decimal")),
    *(frozenset([f"${kind}"]) for kind in ("binary", "code", "date", "dbPointer", "maxKey")),
    *(frozenset([f"${kind}"]) for kind in ("minKey", "oid", "regularExpression", "symbol")),
    *(frozenset([f"${kind}"]) for kind in ("timestamp", "undefined", "uuid")),
    frozenset(["$code", "$scope"]),
}

LONGEST_NAME = 238  # mongodump's limits: common/util and mongodump/prepare.go:208-217
KEPT_OF_A_LONG_NAME = 208


def file_stem(collection: str) -> str:
    """Return mongodump's file name for a collection, without its suffixes."""
    escaped = quote_plus(collection, safe="")
    if len(escaped) <= LONGEST_NAME:
        return escaped
    digest = hashlib.sha1(collection.encode(), usedforsecurity=False).digest()
    short = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return f"{escaped[:KEPT_OF_A_LONG_NAME]}%24{short}"


def collection_name(stem: str) -> str:
    """Return the collection of a file, where no metadata names it (mongodump before 4.2)."""
    return unquote_plus(stem)


def to_json(document: Any) -> Any:
    """Return a BSON value as plain JSON values in canonical extended form, order kept."""
    return json.loads(json_util.dumps(document, json_options=_OPTIONS))


def from_json(value: Any) -> Any:
    """Return the BSON value that `to_json` wrote; documents are ordered SONs.

    Not `json_util.loads`: that takes a query's `{"$regex": "^a"}` for a regular
    expression, and a view or validator with it would come back as another.
    """
    if isinstance(value, list):
        return [from_json(each) for each in value]
    if not isinstance(value, dict):
        return value
    inner = SON((key, from_json(each)) for key, each in value.items())
    return json_util.object_hook(inner, _OPTIONS) if frozenset(value) in _WRAPPED else inner


def metadata(name: str, kind: str, options: Json, indexes: list[Json], uuid: str) -> bytes:
    """Return the bytes of a metadata.json; `kind` is collection or view."""
    fields: Json = {"indexes": indexes, "uuid": uuid, "collectionName": name, "type": kind}
    if options:  # mongodump leaves empty options out, and mongorestore expects as much
        fields = {"options": options, **fields}
    return json.dumps(fields, separators=(",", ":")).encode()


def refuse_malformed(document: bytes) -> None:
    """Raise ValueError for bytes that are no BSON document, inner ones included."""
    try:
        bson.decode(document, ORDERED)
    except InvalidBSON as error:
        raise ValueError(f"a document is no BSON ({error})") from error
