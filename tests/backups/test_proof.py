"""Every rule of the proof, one at a time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from worker.adapters.mongo_server import Collection, Reading
from worker.backups import proof
from worker.backups.manifest import CollectionEntry
from worker.clock import rfc3339

THEN = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
ONE = {"$numberInt": "1"}
INDEXES = [{"key": {"_id": ONE}, "name": "_id_"}, {"key": {"a": ONE, "b": ONE}, "name": "ab"}]
ENTRY = CollectionEntry(
    name="messages", type="collection", options={}, indexes=INDEXES, uuid="aa", ttl=False,
    capped=False, metadata_file="m", counters={"insert calls": 5, "remove calls": 0}, count=5,
    reads=9, process="p/1", settled=True, read_at=rfc3339(THEN), read_monotonic=1000.0,
)  # fmt: skip
LIVE = Collection(
    database="thynk", name="messages", type="collection", options={}, indexes=INDEXES, uuid="aa"
)
READING = Reading(
    uuid="aa", writes={"insert calls": 5, "remove calls": 0}, reads=9, documents=5, bytes=1,
    process="p/1",
)  # fmt: skip
NOW = proof.Moment(THEN + timedelta(seconds=539), 1539.0)


def unchanged(entry=ENTRY, live=LIVE, reading=READING, moment=NOW):
    return proof.unchanged(entry, live, reading, moment)


def test_all_rules_kept_is_proof():
    assert unchanged()
    assert unchanged(live=replace(LIVE, indexes=INDEXES[::-1]))
    assert unchanged(reading=replace(READING, reads=10))


@pytest.mark.parametrize(
    "other",
    [
        {"entry": replace(ENTRY, settled=False)},
        {"entry": replace(ENTRY, ttl=True)},
        {"live": replace(LIVE, uuid="bb"), "reading": replace(READING, uuid="bb")},
        {"reading": replace(READING, uuid="bb")},
        {"reading": replace(READING, uuid="")},
        {"live": replace(LIVE, type="view")},
        {"live": replace(LIVE, options={"validator": {}})},
        {"live": replace(LIVE, indexes=INDEXES[:1])},
        {"live": replace(LIVE, indexes=[INDEXES[0], {**INDEXES[1], "key": {"b": ONE, "a": ONE}}])},
        {"reading": replace(READING, process="q/1")},
        {"reading": replace(READING, process=""), "entry": replace(ENTRY, process="")},
        {"reading": replace(READING, writes={"insert calls": 6, "remove calls": 0})},
        {"reading": replace(READING, writes={}), "entry": replace(ENTRY, counters={})},
        {"reading": replace(READING, documents=6)},
        {"reading": replace(READING, reads=8)},
        {"moment": proof.Moment(THEN + timedelta(seconds=540), 1539.0)},
        {"moment": proof.Moment(THEN + timedelta(seconds=539), 1540.0)},
        {"moment": proof.Moment(THEN - timedelta(seconds=1), 1001.0)},
        {"moment": proof.Moment(THEN + timedelta(seconds=1), 999.0)},
    ],
)
def test_any_rule_broken_is_no_proof(other):
    assert not unchanged(**other)
