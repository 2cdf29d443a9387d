"""What a backup asks of the server: an app may have a thousand collections."""

from contextlib import closing

import pytest

from tests.backups.support import thynk_on
from worker.adapters import mongo_counters
from worker.adapters.mongo import Mongo
from worker.backups import proof
from worker.clock import SystemClock

MOST = 7  # of each collection: listed twice, counted twice, read, looked for; one to spare


@pytest.fixture
def many(replica_set, tmp_path):
    with thynk_on(replica_set, tmp_path / "checkout") as app:
        yield app


def asked(app, **named):
    """Return the requests of one backup, and the backup."""

    def requests():
        return app.client.admin.command("serverStatus")["network"]["numRequests"]

    before = requests()
    made = app.backup(**named)
    return requests() - before, made


def test_a_collection_costs_few_round_trips(many):
    for n in range(5):
        many.db[f"a{n}"].insert_one({})
    few, _ = asked(many)
    for n in range(40):
        many.db[f"b{n}"].insert_one({})
    more, made = asked(many)
    linked, again = asked(many, previous=made)
    assert more - few <= 40 * MOST
    assert linked - few <= 40 * MOST  # counted once more, and not read
    entries = again.manifest().databases["thynk"]
    assert {entry.settled for entry in entries.values()} == {True}


def test_what_is_written_between_the_counting_and_the_moment_is_no_link(many, monkeypatch):
    many.db.a.insert_one({"_id": 1})
    first, original = many.backup(), Mongo.snapshot

    def late(self, one):
        many.db.a.insert_one({"_id": 2})
        return original(self, one)

    monkeypatch.setattr(Mongo, "snapshot", late)
    second = many.backup(previous=first)
    assert second.manifest().databases["thynk"]["a"].documents == 2


def test_counters_of_two_processes_of_the_server_prove_nothing(many, monkeypatch):
    many.db.a.insert_one({})
    made = many.backup()
    processes = iter(["one", "two"])
    monkeypatch.setattr(mongo_counters, "_process", lambda *_: next(processes))
    collections = many.mongo.collections("thynk")
    reading = many.mongo.readings(collections)["thynk.a"]
    assert (reading.process, reading.documents) == ("", 1)
    entry = made.manifest().databases["thynk"]["a"]
    assert not proof.unchanged(entry, collections[0], reading, proof.now(SystemClock()))


def test_a_reader_that_is_not_wanted_any_more_leaves_no_cursor_open(many):
    many.db.a.insert_many({"_id": n} for n in range(12_000))

    def cursors():
        return many.client.admin.command("serverStatus")["metrics"]["cursor"]["open"]["total"]

    before = cursors()
    (collection,) = many.mongo.collections("thynk")
    with closing(many.mongo.raw_batches(collection)) as read:
        next(read)
        assert cursors() == before + 1
    assert cursors() == before
    with many.mongo.snapshot(collection) as snapshot:
        with closing(snapshot.raw_batches(collection)) as read:
            next(read)
        assert cursors() == before
