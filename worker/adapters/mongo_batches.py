"""Reads a collection's documents as the bytes they are, many back to back.

pymongo's `find_raw_batches` does that, too, but makes an object of each document on the way
and throws it away: two thirds of its time (4.20, measured). Here the server's answer stays
one piece, and only the keys of its array ("0", "1", …) are cut out.

The danger is an answer that is understood wrongly: so each length must lead exactly to the
next element and to the array's end, and whatever is unknown is an error.
"""

import contextlib
import struct
from collections.abc import Iterator
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.son import SON
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import PyMongoError

from worker.errors import BackupError

BATCH = 5_000  # documents; measured best
_RAW = CodecOptions(document_class=RawBSONDocument)
_INT32 = struct.Struct("<i").unpack_from
_INT64 = struct.Struct("<q").unpack_from
_DOCUMENT, _ARRAY, _STRING, _BOOL, _TIMESTAMP, _LONG = 0x03, 0x04, 0x02, 0x08, 0x11, 0x12
_FIXED = {_BOOL: 1, _TIMESTAMP: 8, _LONG: 8}  # bytes of a value


def batches(
    database: Database[SON[str, Any]], name: str, session: ClientSession
) -> Iterator[bytes]:
    """Yield the documents in stored order. The session is the caller's, for this thread alone.

    Raises PyMongoError, and BackupError for an answer that is not as it should be.
    """
    command: SON[str, Any] = SON([("find", name), ("batchSize", BATCH)])
    number, documents = _batch(_asked(database, command, session))
    try:
        while True:
            if documents:
                yield documents
            if not number:
                return
            documents = b""  # memory for the next ones
            command = SON([("getMore", number), ("collection", name), ("batchSize", BATCH)])
            number, documents = _batch(_asked(database, command, session))
    except GeneratorExit:  # not wanted any more: the server need not keep it for ten minutes
        with contextlib.suppress(PyMongoError):  # and does not keep it for longer than that
            database.command(SON([("killCursors", name), ("cursors", [number])]))
        raise


def _asked(
    database: Database[SON[str, Any]], command: SON[str, Any], session: ClientSession
) -> bytes:
    answer = database.command(command, codec_options=_RAW, session=session)
    return bytes(answer["cursor"].raw)


def _batch(cursor: bytes) -> tuple[int, bytes]:
    """Return a cursor's number, 0 at its end, and its documents back to back."""
    number, documents, at = 0, b"", 4
    while kind := cursor[at]:
        value = cursor.index(b"\0", at) + 1
        key = cursor[at + 1 : value - 1]
        at = value + _size(cursor, kind, value)
        if key == b"id":
            (number,) = _INT64(cursor, value)
        elif key in (b"firstBatch", b"nextBatch"):
            documents = _documents(cursor, value, at)
    return number, documents


def _size(cursor: bytes, kind: int, value: int) -> int:
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in (_DOCUMENT, _ARRAY):
        return int(_INT32(cursor, value)[0])
    if kind == _STRING:
        return 4 + int(_INT32(cursor, value)[0])
    raise _unknown(f"a value of the type {kind}")


def _documents(whole: bytes, begin: int, end: int) -> bytes:
    """Return the documents of an array, without its keys."""
    view, found, at, last = memoryview(whole), [], begin + 4, end - 1
    while at < last:
        if whole[at] != _DOCUMENT:
            raise _unknown(f"a value of the type {whole[at]} in its batch")
        at = whole.index(b"\0", at) + 1
        document, at = at, at + _INT32(whole, at)[0]
        found.append(view[document:at])
    if at != last or whole[last]:
        raise _unknown("documents that do not fill its batch")
    return b"".join(found)


def _unknown(what: str) -> BackupError:
    return BackupError(
        f"MongoDB answered with a cursor that has {what}.",
        remedy="See whether this version of MongoDB is one that this version can read.",
    )
