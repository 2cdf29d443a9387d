"""Batches as the server answers them, cut out of its cursor without decoding a document."""

import bson
import pytest
from bson.int64 import Int64
from bson.son import SON
from bson.timestamp import Timestamp

from worker.adapters.mongo_batches import _batch
from worker.errors import BackupError


def cursor(documents, **others):
    return bson.encode(SON([("nextBatch", documents), ("id", Int64(7)), ("ns", "a.b"), *others]))


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 100, 101, 1234])
def test_documents_are_cut_out_byte_for_byte_whatever_their_number(count):
    documents = [{"_id": n, "id": "x" * (n % 50), "firstBatch": [{}]} for n in range(count)]
    assert _batch(cursor(documents)) == (7, b"".join(map(bson.encode, documents)))


def test_the_order_of_a_cursor_s_fields_does_not_matter():
    fields = [("id", Int64(0)), ("ns", "a.b"), ("atClusterTime", Timestamp(1, 1))]
    more = [
        ("partialResultsReturned", True),
        ("firstBatch", [{"a": 1}]),
        ("why", {"firstBatch": 1}),
    ]
    assert _batch(bson.encode(SON([*fields, *more]))) == (0, bson.encode({"a": 1}))


@pytest.mark.parametrize(
    "answer",
    [
        bson.encode({"nextBatch": [{"a": 1}, "text"], "id": Int64(0)}),
        bson.encode({"nextBatch": [], "id": Int64(0), "new": 1.5}),
        cursor([{"a": 1}]).replace(bson.encode({"a": 1}), b"\x0d" + bson.encode({"a": 1})[1:]),
    ],
)
def test_an_answer_that_is_not_understood_is_an_error(answer):
    with pytest.raises(BackupError, match="answered with a cursor that has"):
        _batch(answer)
