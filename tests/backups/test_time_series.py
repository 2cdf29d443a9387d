"""Time series: dumped as their buckets, staged beside, and put back by drop and load."""

import datetime

import pytest

from tests.backups.support import fingerprint
from worker.adapters.mongo_writer import Writer
from worker.backups.difference import difference
from worker.backups.drill import drill
from worker.errors import RestoreError

BEGIN = datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC)


def fill(db):
    db.create_collection(
        "cpu", timeseries={"timeField": "at", "metaField": "host", "granularity": "minutes"}
    )
    db.cpu.create_index([("host", 1), ("at", -1)])
    db.create_collection("passing", timeseries={"timeField": "at"}, expireAfterSeconds=3600)
    for name in ("cpu", "passing"):
        db[name].insert_many(
            {"at": BEGIN + datetime.timedelta(seconds=n), "host": f"h{n % 3}", "load": n}
            for n in range(500)
        )
    db.plain.insert_one({"_id": 1})


def spoil(db):
    db.cpu.insert_one({"at": BEGIN, "host": "h9", "load": -1.5})
    db.drop_collection("passing")
    db.passing.insert_one({"now": "a collection"})
    db.drop_collection("plain")
    db.create_collection("plain", timeseries={"timeField": "at"})
    db.create_collection("later", timeseries={"timeField": "at"})
    db.later.insert_one({"at": BEGIN})


def test_time_series_come_back_bucket_for_bucket(thynk_everywhere):
    thynk = thynk_everywhere
    fill(thynk.db)
    good, points = fingerprint(thynk.db), list(thynk.db.cpu.find({}, {"_id": 0}))
    backup = thynk.backup()
    assert (backup.path / "mongodb/thynk/system.buckets.cpu.bson.gz").exists()
    assert not thynk.restore(backup).difference
    assert drill(thynk.source, backup, len).backup == backup.id
    spoil(thynk.db)
    thynk.restore(backup)
    assert fingerprint(thynk.db) == good
    assert list(thynk.db.cpu.find({}, {"_id": 0})) == points
    assert len(list(thynk.db.cpu.list_indexes())) == 1
    assert not difference(thynk.source, backup.manifest())
    thynk.client.drop_database("thynk")
    thynk.restore(backup)
    assert fingerprint(thynk.db) == good
    try:
        thynk.restore(backup, to_database="thynk_look")
        assert list(thynk.client["thynk_look"].cpu.find({}, {"_id": 0})) == points
    finally:
        thynk.client.drop_database("thynk_look")


def test_a_time_series_that_cannot_be_loaded_leaves_the_live_one(thynk, monkeypatch):
    fill(thynk.db)
    good, backup = fingerprint(thynk.db), thynk.backup()
    spoil(thynk.db)
    live = fingerprint(thynk.db)
    inserted, original = [], Writer.insert

    def fails_at(number):
        def insert(self, name, documents):
            inserted.append(name)
            if len(inserted) == number:
                raise RestoreError("No.", remedy="-")
            original(self, name, documents)

        return insert

    with monkeypatch.context() as broken:
        broken.setattr(Writer, "insert", fails_at(2))
        with pytest.raises(RestoreError, match=r"^No\."):
            thynk.restore(backup)
    assert fingerprint(thynk.db) == live
    inserted.clear()
    with monkeypatch.context() as broken:  # three are staged, then the first is loaded again
        broken.setattr(Writer, "insert", fails_at(4))
        with pytest.raises(RestoreError, match="after it had begun"):
            thynk.restore(backup)
    assert inserted[-1] in ("system.buckets.cpu", "system.buckets.passing")
    thynk.restore(backup)
    assert fingerprint(thynk.db) == good
