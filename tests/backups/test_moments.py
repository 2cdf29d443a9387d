"""Whether a backup is of one moment while others write, and whether it says so.

`SHEETANCHOR_EXHAUSTIVE=1` makes fifty backups where otherwise a dozen are made.
"""

import contextlib
import gzip
import os
import signal
import subprocess
import sys
import threading

import bson
import pytest
from pymongo import MongoClient, WriteConcern

from tests.backups.support import running_mongod, thynk_on, until
from worker.adapters.mongo import Mongo
from worker.adapters.mongo_snapshot import Snapshot
from worker.backups.verify import verify
from worker.errors import MomentError

BACKUPS = 50 if os.environ.get("SHEETANCHOR_EXHAUSTIVE") else 12
ACCOUNTS = 20
MOVES_MONEY = """
import random, sys, threading, pymongo
from pymongo.errors import PyMongoError
client = pymongo.MongoClient(sys.argv[1], directConnection=True)
db = client["thynk"]
end = threading.Event()
def move():
    while not end.is_set():
        amount, here, there = random.randint(1, 9), random.randrange(20), random.randrange(20)
        try:
            with client.start_session() as session, session.start_transaction():
                db.checking.update_one({"_id": here}, {"$inc": {"n": -amount}}, session=session)
                db.savings.update_one({"_id": there}, {"$inc": {"n": amount}}, session=session)
                head = db.zheads.insert_one({}, session=session).inserted_id
                db.bodies.insert_one({"_id": head}, session=session)
        except PyMongoError as error:
            if not error.has_error_label("TransientTransactionError"): raise
for _ in range(2): threading.Thread(target=move).start()
print("writing", flush=True)
sys.stdin.read()
end.set()  # a transaction left open would hold its locks for a minute
"""
COUNTS = """
import itertools, random, sys, threading, time, pymongo
db = pymongo.MongoClient(sys.argv[1])["thynk"]
def count():
    for n in itertools.count(1):
        db.checking.update_one({"_id": 0}, {"$set": {"n": n}})
        db.savings.update_one({"_id": 0}, {"$set": {"n": n}})
        if n % 50 == 0: time.sleep(random.choice([0, 0, 0, 0, 0.4]))  # some backups fall between
threading.Thread(target=count, daemon=True).start()
print("writing", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def others(script, uri):
    """Have another process write meanwhile."""
    argv = [sys.executable, "-c", script, uri]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(argv, **pipes) as process:
        try:
            assert process.stdout.readline() == b"writing\n"
            yield
            assert process.poll() is None
            process.stdin.close()
            process.wait(60)
        finally:
            process.kill()


@pytest.fixture
def on_a_set(replica_set, tmp_path):
    with thynk_on(replica_set, tmp_path / "checkout") as thynk:
        yield thynk


def documents(backup, name):
    packed = (backup.path / f"mongodb/thynk/{name}.bson.gz").read_bytes()
    return bson.decode_all(gzip.decompress(packed))


def money(backup, name):
    return sum(each["n"] for each in documents(backup, name))


def told(thynk, **asked):
    lines = []
    return thynk.backup(report=lines.append, **asked), lines


def again(lines):
    return [line for line in lines if "read again" in line]


def test_money_that_moves_in_transactions_is_never_lost_or_doubled(on_a_set, replica_set):
    db = on_a_set.db
    for name in ("checking", "savings"):
        db[name].insert_many({"_id": n, "n": 1000} for n in range(ACCOUNTS))
    previous, seen = None, set()
    with others(MOVES_MONEY, replica_set):
        until(lambda: db.bodies.estimated_document_count() > 50)
        for _ in range(BACKUPS):
            previous, lines = told(on_a_set, previous=previous)
            assert (previous.one_moment, again(lines)) == (True, [])
            assert money(previous, "checking") + money(previous, "savings") == 2000 * ACCOUNTS
            heads, bodies = (
                {each["_id"] for each in documents(previous, name)} for name in ("zheads", "bodies")
            )
            assert heads == bodies
            seen.add(previous.manifest().cluster_time)
    assert len(seen) == BACKUPS
    assert f"cluster time {previous.manifest().cluster_time}" in text_of(previous)


def text_of(backup):
    return (backup.path / "manifest.txt").read_text()


def test_a_standalone_never_calls_one_moment_what_is_not(thynk, standalone):
    """`savings` follows `checking` by one write; what is further apart is of two moments."""
    for name in ("checking", "savings"):
        thynk.db[name].insert_one({"_id": 0, "n": 0})
    told_so, previous = [], None
    with others(COUNTS, standalone):
        for _ in range(BACKUPS):
            previous = thynk.backup(previous=previous)
            told_so.append(previous.one_moment)
            if previous.one_moment:
                apart = money(previous, "checking") - money(previous, "savings")
                assert apart in (0, 1)
            else:
                why = previous.manifest().one_moment_why
                assert "also when read again 3 times" in why
                assert "--replSet" in why
                assert f"One moment: NO: {why}" in text_of(previous)
            assert previous.manifest().cluster_time is None
    print("of one moment:", told_so.count(True), "of", BACKUPS)


def test_what_moved_once_is_read_again_and_nothing_else(thynk, monkeypatch):
    for name in ("a", "b", "c"):
        thynk.db[name].insert_one({"_id": 0, "n": 0})
    original, read = Mongo.raw_batches, []

    def writing(self, collection):
        read.append(collection.name)
        yield from original(self, collection)
        if read == ["a", "b"]:
            thynk.db.a.update_one({}, {"$set": {"n": 1}})

    monkeypatch.setattr(Mongo, "raw_batches", writing)
    backup, lines = told(thynk)
    assert read == ["a", "b", "c", "a"]
    assert again(lines) == ["written to while they were read: thynk.a; read again (1 of 3)"]
    assert backup.one_moment
    assert documents(backup, "a") == [{"_id": 0, "n": 1}]


def test_expiring_collections_that_an_app_writes_to_count_too(thynk, monkeypatch):
    thynk.db.sessions.create_index("at", expireAfterSeconds=3600)
    original = Mongo.raw_batches

    def writing(self, collection):
        yield from original(self, collection)
        thynk.db.sessions.insert_one({})

    monkeypatch.setattr(Mongo, "raw_batches", writing)
    assert "thynk.sessions" in thynk.backup().manifest().one_moment_why


def test_an_upload_that_changes_or_vanishes_is_of_another_moment_and_a_new_one_harms_nobody(
    thynk, monkeypatch
):
    thynk.db.c.insert_one({})
    original, photo = Mongo.raw_batches, thynk.uploads / "photo.jpg"
    doing = [
        (thynk.uploads / "new").touch,
        lambda: photo.write_bytes(b"another"),
        photo.unlink,
    ]

    def meanwhile(self, collection):
        yield from original(self, collection)
        doing[0]()

    monkeypatch.setattr(Mongo, "raw_batches", meanwhile)
    found = []
    while doing:
        found.append(thynk.backup().manifest())
        doing.pop(0)
    assert [each.one_moment for each in found] == [True, False, False]
    assert found[1].one_moment_why.startswith("1 uploaded files changed or vanished")


@pytest.fixture
def meanwhile(monkeypatch):
    """Return a list of things to do, one after the end of each read at a cluster time."""
    original, doing = Snapshot.raw_batches, []

    def read(self, collection):
        if doing and doing[0][0] == "before":
            doing.pop(0)[1]()
        yield from original(self, collection)
        if doing and doing[0][0] == "after":
            doing.pop(0)[1]()

    monkeypatch.setattr(Snapshot, "raw_batches", read)
    return doing


def dropped(db):
    db.drop_collection("b")


def made_anew(db):
    db.drop_collection("b")
    db.b.insert_one({"_id": 2})


def renamed(db):
    db.b.rename("c")


@pytest.mark.parametrize("what", [dropped, made_anew, renamed])
def test_a_collection_altered_before_it_was_read_has_all_read_again(on_a_set, meanwhile, what):
    """Dropped or renamed, it reads as empty without an error; made anew, it is refused."""
    db = on_a_set.db
    db.a.insert_one({"_id": 1})
    db.b.insert_one({"_id": 1, "n": 1})
    meanwhile.append(("after", lambda: what(db)))
    backup, lines = told(on_a_set)
    assert len(again(lines)) == 1
    assert "(1 of 3)" in again(lines)[0]
    names = [entry.name for _, entry in verify(backup.path).collections()]
    assert names == sorted(db.list_collection_names())
    assert all(documents(backup, name) == list(db[name].find()) for name in names)
    assert backup.one_moment


def test_what_is_made_or_dropped_after_it_was_read_costs_nothing(on_a_set, meanwhile):
    db = on_a_set.db
    for name in ("a", "b"):
        db[name].insert_one({"_id": 1})
    meanwhile += [("before", lambda: db.new.insert_one({})), ("before", db.a.drop)]
    backup, lines = told(on_a_set)
    assert again(lines) == []
    assert [entry.name for _, entry in backup.manifest().collections()] == ["a", "b"]
    assert documents(backup, "a") == [{"_id": 1}]


def test_a_moment_that_never_comes_is_given_up_and_told(on_a_set, meanwhile):
    db, number = on_a_set.db, iter(range(99))
    db.a.insert_one({"n": 0})
    db.b.insert_one({})

    def anew():
        db.drop_collection("b")
        db.b.insert_one({"n": next(number)})

    meanwhile += [("after", anew), ("before", lambda: None)] * 2 + [("after", anew)]
    backup, lines = told(on_a_set)
    assert [line.partition("again ")[2] for line in again(lines)] == [
        f"({number} of 3)" for number in (1, 2, 3)
    ]
    assert backup.one_moment  # then nothing moved any more: the counters say so
    assert backup.manifest().cluster_time is None


def test_a_time_that_the_server_no_longer_keeps_is_taken_anew(on_a_set, monkeypatch):
    """SnapshotTooOld, of a dump that takes longer than the server's history."""
    db, admin = on_a_set.db, on_a_set.client.admin
    for name in ("a", "b"):
        db[name].insert_one({"_id": 1})
    original, read = Snapshot.raw_batches, []

    def slowly(self, collection):
        yield from original(self, collection)
        read.append(collection.name)
        if read == ["a"]:
            admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=0)
            until(lambda: too_old(self, collection))

    def too_old(snapshot, collection):
        db.c.insert_one({})
        try:
            list(original(snapshot, collection))
        except MomentError:
            return True
        return False

    monkeypatch.setattr(Snapshot, "raw_batches", slowly)
    try:
        backup, lines = told(on_a_set)
    finally:
        admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=300)
    assert len(again(lines)) == 1
    assert read[:3] == ["a", "a", "b"]
    assert backup.one_moment


def test_capped_collections_are_of_that_moment_or_named(on_a_set, monkeypatch):
    db = on_a_set.db
    db.create_collection("log", capped=True, size=4096)
    db.log.insert_one({"_id": 0})
    db.a.insert_one({})
    still, _ = told(on_a_set)
    assert still.one_moment
    assert documents(still, "log") == [{"_id": 0}]
    original = Mongo.raw_batches

    def writing(self, collection):
        yield from original(self, collection)
        db.log.insert_one({})

    monkeypatch.setattr(Mongo, "raw_batches", writing)
    busy, lines = told(on_a_set)
    assert len(again(lines)) == 2
    assert not busy.one_moment
    assert "thynk.log are capped" in busy.manifest().one_moment_why
    assert busy.manifest().cluster_time in busy.manifest().one_moment_why


def test_only_capped_collections_on_a_replica_set_are_read_by_counters(on_a_set):
    on_a_set.db.create_collection("log", capped=True, size=4096)
    on_a_set.db.log.insert_one({"_id": 0})
    assert on_a_set.backup().one_moment


@pytest.fixture
def pair(tmp_path):
    """A primary, and a secondary that can be frozen; a majority is both."""
    homes = [tmp_path / "one", tmp_path / "two"]
    for home in homes:
        home.mkdir()
    with (
        running_mongod(homes[0], "--replSet", "rs0") as first,
        running_mongod(homes[1], "--replSet=rs0") as second,
        MongoClient("127.0.0.1", first, directConnection=True) as primary,
        MongoClient("127.0.0.1", second, directConnection=True) as secondary,
    ):
        config = primary.admin.command("replSetGetConfig")["config"]
        config["members"].append({"_id": 1, "host": f"127.0.0.1:{second}", "priority": 0})
        config["settings"]["electionTimeoutMillis"] = 120_000  # a frozen one is no reason for one
        config["version"] += 1
        primary.admin.command("replSetReconfig", config)
        until(lambda: secondary.admin.command("hello")["secondary"])
        until(lambda: primary.admin.command("replSetGetStatus")["majorityVoteCount"] == 2)
        yield f"mongodb://127.0.0.1:{first}/", secondary.admin.command("serverStatus")["pid"]


def test_what_only_the_primary_acknowledged_is_waited_for_not_left_out(pair, tmp_path):
    """The server's newest majority time is older than such a write."""
    uri, secondary = pair
    with thynk_on(uri, tmp_path / "checkout") as thynk:
        thynk.db.c.insert_one({"_id": 1})
        os.kill(secondary, signal.SIGSTOP)
        waking = threading.Timer(1.5, os.kill, (secondary, signal.SIGCONT))
        try:
            thynk.db.c.with_options(write_concern=WriteConcern(1)).insert_one({"_id": 2})
            waking.start()
            backup = thynk.backup()
        finally:
            waking.cancel()
            os.kill(secondary, signal.SIGCONT)
        assert documents(backup, "c") == [{"_id": 1}, {"_id": 2}]
        assert backup.one_moment
