"""What a comparison with a backup reads of the database: not what its numbers show to differ."""

import pytest

from tests.backups.support import fingerprint
from worker.backups.difference import difference


def queries(thynk, name):
    """Return how often a collection was searched or read since mongod runs."""
    found = thynk.client.admin.command("top")["totals"][f"thynk.{name}"]
    return found["queries"]["count"] + found["getmore"]["count"]


@pytest.fixture
def spoilt(thynk):
    """Collections that differ in all ways there are, and a backup from before."""
    for name in ("fewer", "longer", "other", "equal"):
        thynk.db[name].insert_many({"_id": n, "x": "x" * 9} for n in range(100))
        thynk.db[name].create_index("x")
    thynk.db.create_collection("capped", capped=True, size=100_000)
    thynk.db.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
    for name in ("capped", "clustered"):
        thynk.db[name].insert_many({"_id": n, "x": "x" * 9} for n in range(100))
    backup, good = thynk.backup(), fingerprint(thynk.db)
    thynk.db.fewer.delete_one({"_id": 7})
    thynk.db.longer.update_one({"_id": 7}, {"$set": {"x": "x" * 10}})
    thynk.db.other.update_one({"_id": 7}, {"$set": {"x": "y" * 9}})
    for name in ("equal", "capped", "clustered"):
        for letter in ("y", "x"):  # as it was, but the counters do not prove it
            thynk.db[name].update_one({"_id": 7}, {"$set": {"x": letter * 9}})
    return thynk, backup, good


def test_only_what_its_numbers_do_not_tell_is_read(spoilt):
    thynk, backup, good = spoilt
    names = ("fewer", "longer", "other", "equal", "capped", "clustered")
    thynk.db.equal.drop_index("x_1")
    thynk.db.longer.drop_index("x_1")
    before = {name: queries(thynk, name) for name in names}
    found = difference(thynk.source, backup.manifest())
    assert {one.name: one.what for one in found.collections} == {
        "fewer": "changed",
        "longer": "changed",
        "other": "changed",
        "equal": "indexes",
    }
    read = {name for name in names if queries(thynk, name) > before[name]}
    assert read == {"other", "equal", "capped", "clustered"}
    thynk.restore(backup)
    assert fingerprint(thynk.db) == good
    assert not difference(thynk.source, backup.manifest())
