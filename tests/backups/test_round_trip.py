import datetime
import gzip
import re
from dataclasses import replace

import bson
import pytest
from bson import Binary, Decimal128, MaxKey, MinKey, json_util

from tests.backups.everything import fill
from tests.backups.support import fingerprint, running_mongod, thynk_on, until, uuids
from worker.adapters.mongo import Mongo
from worker.backups.difference import difference
from worker.backups.load import Load
from worker.backups.verify import verify

SOME_TIME = datetime.datetime(2026, 11, 2, tzinfo=datetime.UTC)


def test_everything_comes_back_after_all_of_it_was_lost(thynk_everywhere):
    thynk = thynk_everywhere
    fill(thynk.db)
    before = fingerprint(thynk.db)
    backup = thynk.backup()
    thynk.client.drop_database("thynk")
    thynk.restore(backup)
    assert fingerprint(thynk.db) == before
    assert not difference(thynk.source, backup.manifest())


def test_everything_comes_back_after_all_of_it_was_changed(thynk_everywhere):
    thynk = thynk_everywhere
    fill(thynk.db)
    before = fingerprint(thynk.db)
    backup = thynk.backup()
    for name in before[0]:
        spoil = {"_id": "k999"} if name == "cl" else {"spoil": name}
        if name not in ("cl_ttl", "strict", "choosy") and not name.startswith("system."):
            thynk.db[name].insert_one(spoil)
    for name in ("cpu", "empty series"):
        thynk.db[name].insert_one({"t": SOME_TIME})
    thynk.db.command("collMod", "strict", validator={})
    thynk.db.command("collMod", "view", viewOn="names", pipeline=[])
    thynk.db["new one"].insert_one({})
    thynk.db.create_collection("new view", viewOn="names", pipeline=[])
    thynk.restore(backup)
    assert fingerprint(thynk.db) == before


def test_ids_of_every_type_come_back_over_many_batches(thynk_everywhere):
    """A range of `_id` holds one type only, silently: so nothing may be read by ranges."""
    thynk = thynk_everywhere
    ids = [None, True, MinKey(), MaxKey()]
    for n in range(2_000):
        ids += [n, str(n), n + 0.25, Decimal128(f"{n}.5"), {"n": n}, Binary(b"%d" % n, 5)]
    thynk.db.mixed.insert_many({"_id": one} for one in ids)
    before, backup = fingerprint(thynk.db), thynk.backup()
    assert backup.documents == len(ids) == 12_004
    thynk.client.drop_database("thynk")
    thynk.restore(backup)
    assert fingerprint(thynk.db) == before


def test_what_did_not_change_keeps_its_collection(thynk):
    fill(thynk.db)
    backup, before = thynk.backup(), uuids(thynk.db)
    thynk.db.messages.delete_one({"n": 3})
    result = thynk.restore(backup)
    after = uuids(thynk.db)
    assert [change.name for change in result.difference.collections] == ["messages"]
    assert [name for name in before if before[name] != after[name]] == ["messages"]


def test_restoring_twice_changes_nothing(thynk):
    fill(thynk.db)
    backup = thynk.backup()
    thynk.db.messages.delete_many({})
    thynk.restore(backup)
    between = uuids(thynk.db)
    assert not thynk.restore(backup).difference
    assert uuids(thynk.db) == between


def test_lost_and_added_indexes_are_mended_without_loading_the_data(thynk):
    fill(thynk.db)
    before, backup, ids = fingerprint(thynk.db), thynk.backup(), uuids(thynk.db)
    thynk.db.messages.drop_index("two keys")
    thynk.db.messages.create_index("added")
    thynk.db.sessions.drop_index("at_1")
    thynk.db.sessions.create_index("at", expireAfterSeconds=9999)
    thynk.restore(backup)
    assert fingerprint(thynk.db) == before
    assert uuids(thynk.db) == ids


def test_views_and_collections_that_took_each_others_place_change_back(thynk):
    thynk.db.data.insert_one({"_id": 1})
    thynk.db.create_collection("view", viewOn="data", pipeline=[])
    before, backup = fingerprint(thynk.db), thynk.backup()
    thynk.db.drop_collection("view")
    thynk.db.view.insert_one({"_id": 2})
    thynk.db.drop_collection("data")
    thynk.db.create_collection("data", viewOn="view", pipeline=[])
    thynk.restore(backup)
    assert fingerprint(thynk.db) == before


def test_names_as_long_as_mongodb_allows_come_back(thynk):
    """255 bytes with the database's: no room for a prefix, nor for mongodump's file name."""
    for name in ("n" * 249, "漢" * 83, "%" * 249):
        thynk.db[name].insert_one({"_id": name})
    before, backup = fingerprint(thynk.db), thynk.backup()
    files = {path.name for path in (backup.path / "mongodb/thynk").iterdir()}
    assert any(re.fullmatch("n{208}%24[A-Za-z0-9_-]{27}\\.bson\\.gz", name) for name in files)
    for name in thynk.db.list_collection_names():
        thynk.db[name].insert_one({})
    thynk.restore(backup)
    assert fingerprint(thynk.db) == before


def test_documents_as_large_as_mongodb_allows_come_back(thynk):
    """16 MB: larger than what a restore sends at a time, also as the first document."""
    most = 16 * 1024 * 1024 - len(bson.encode({"_id": 1, "all": b""}))
    for number in range(3):
        thynk.db.large.insert_one({"_id": number, "all": b"x" * most})
    thynk.db.mixed.insert_many([{"_id": 1}, {"_id": 2, "all": b"x" * most}, {"_id": 3}])
    before, backup = fingerprint(thynk.db), thynk.backup()
    thynk.client.drop_database("thynk")
    thynk.restore(backup)
    assert fingerprint(thynk.db) == before


@pytest.fixture
def quickly_expiring(tmp_path):
    """An app on a mongod that looks for expired documents each second, when it may."""
    (tmp_path / "mongod").mkdir()
    options = ("--setParameter", "ttlMonitorSleepSecs=1", "--setParameter", "ttlMonitorEnabled=0")
    with (
        running_mongod(tmp_path / "mongod", *options) as port,
        thynk_on(f"mongodb://127.0.0.1:{port}/", tmp_path / "checkout") as thynk,
    ):
        yield thynk


def test_documents_that_expired_since_are_proven_before_the_server_may_delete_them(
    quickly_expiring, monkeypatch
):
    """Its monitor takes them as soon as the index is there (0.4 s, measured)."""
    db, admin, seen = quickly_expiring.db, quickly_expiring.client.admin, []
    long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    swap = Load.swap

    def passes():
        return admin.command("serverStatus")["metrics"]["ttl"]["passes"]

    def swap_after_two_passes(self):
        begun = passes()
        until(lambda: passes() > begun + 1)
        staged = [f"_sheetanchor_restore.{number:04}" for number in range(2)]
        seen.extend(db[name].count_documents({}) for name in staged)
        swap(self)

    clustered = {"key": {"_id": 1}, "unique": True}
    db.create_collection("cl", clusteredIndex=clustered, expireAfterSeconds=60)
    db.cl.insert_one({"_id": long_ago})
    db.sessions.create_index("at", expireAfterSeconds=60)
    db.sessions.insert_many({"at": long_ago} for _ in range(50))
    backup = quickly_expiring.backup()
    quickly_expiring.client.drop_database("thynk")
    admin.command("setParameter", 1, ttlMonitorEnabled=True)
    monkeypatch.setattr(Load, "swap", swap_after_two_passes)
    quickly_expiring.restore(backup)
    assert sorted(seen) == [1, 50]
    until(lambda: not db.sessions.count_documents({}))


def test_several_databases_are_saved_together_and_only_what_differs_is_put_back(standalone, thynk):
    others = ("thynk", "thynk_two")
    two = thynk.client["thynk_two"]
    with Mongo.connect(standalone, others) as mongo:
        both = replace(thynk, mongo=mongo, source=replace(thynk.source, mongo=mongo))
        thynk.db.same.insert_one({"_id": 1})
        two.same.insert_one({"_id": 2})
        two.create_collection("empty")
        try:
            before, backup = (fingerprint(thynk.db), fingerprint(two)), both.backup()
            assert backup.databases == others
            two.same.drop()
            found = both.restore(backup).difference
            assert [str(one) for one in found.collections] == ["thynk_two.same (missing)"]
            assert (fingerprint(thynk.db), fingerprint(two)) == before
        finally:
            thynk.client.drop_database("thynk_two")


def test_only_mongodb_leaves_files_alone_and_the_other_way_round(thynk):
    thynk.db.c.insert_one({"_id": 1})
    backup = thynk.backup()
    thynk.db.c.insert_one({"_id": 2})
    thynk.env.write_text("SECRET=two\n")
    (thynk.uploads / "new").touch()
    thynk.restore(backup, only="mongodb")
    assert thynk.db.c.count_documents({}) == 1
    assert (thynk.uploads / "new").exists()
    thynk.restore(backup, only="uploads")
    assert not (thynk.uploads / "new").exists()
    assert thynk.env.read_text() == "SECRET=two\n"
    thynk.restore(backup, only="env")
    assert thynk.env.read_text() == "SECRET=one\n"
    assert thynk.env.stat().st_mode & 0o777 == 0o600


def test_another_database_can_be_loaded_without_touching_the_live_one(thynk):
    fill(thynk.db)
    backup = thynk.backup()
    thynk.db.messages.delete_many({})
    live = fingerprint(thynk.db)
    try:
        thynk.restore(backup, to_database="thynk_look")
        loaded = thynk.client["thynk_look"]
        assert loaded.messages.count_documents({}) == 500
        assert loaded["view of view"].count_documents({}) == 496
        assert fingerprint(thynk.db) == live
    finally:
        thynk.client.drop_database("thynk_look")


def test_files_are_what_mongorestore_reads(thynk):
    """The folder's layout, and metadata in canonical extended JSON (mongo-tools TOOLS-3708)."""
    fill(thynk.db)
    folder = thynk.backup().path / "mongodb/thynk"
    text = gzip.decompress((folder / "messages.metadata.json.gz").read_bytes()).decode()
    metadata = json_util.loads(text)
    minus = next(index for index in metadata["indexes"] if index["name"] == "minus")
    assert (metadata["collectionName"], metadata["type"]) == ("messages", "collection")
    assert isinstance(minus["key"]["n"], float)
    assert '{"n":{"$numberDouble":"-1.0"}}' in text
    assert "options" not in metadata
    assert gzip.decompress((folder / "empty.bson.gz").read_bytes()) == b""
    documents = bson.decode_all(gzip.decompress((folder / "messages.bson.gz").read_bytes()))
    assert [each["n"] for each in documents] == list(range(500))
    names = {path.name for path in folder.iterdir()}
    assert {"with+space.bson.gz", "with%2Fslash.bson.gz", "per%25cent.bson.gz"} <= names
    assert {"view.metadata.json.gz", "fs.files.bson.gz"} <= names
    assert {"cpu.metadata.json.gz", "system.buckets.cpu.bson.gz"} <= names
    assert not {"view.bson.gz", "system.views.bson.gz"} & names


def test_a_backup_says_what_it_is(thynk):
    thynk.db.c.insert_one({"_id": 1})
    backup = thynk.backup(kind="pre-deploy", deployment="20261122t143000-3f9a1c", why="a push")
    manifest = verify(backup.path)
    assert (manifest.kind, manifest.app, manifest.why) == ("pre-deploy", "thynk", "a push")
    assert manifest.verified_at
    assert backup.path.stat().st_mode & 0o777 == 0o700
    assert (backup.path / "config/.env.production.local").stat().st_mode & 0o777 == 0o600
    text = (backup.path / "manifest.txt").read_text()
    assert f"sheetanchor restore thynk {backup.id}" in text
    assert "Not in it: MongoDB's users and roles" in text
    assert "Not in it: files' ACLs" in text
