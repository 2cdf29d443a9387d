"""The adapter: addresses, rights, what still runs, who writes."""

import contextlib
import subprocess
import sys
import threading
import time

import pytest
from pymongo import MongoClient

from tests.backups.support import running_mongod, until
from worker.adapters import mongo_guards, mongo_uri
from worker.adapters.mongo import Mongo
from worker.adapters.mongo_server import server_of
from worker.adapters.mongo_uri import host_uri
from worker.backups.proof import fence_writers, readings
from worker.errors import GuardError, UnavailableError

PASSWORD = "p@ss/w:rd%&?#é"
ENCODED = "p%40ss%2Fw%3Ard%25%26%3F%23%C3%A9"


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ("mongodb://host.docker.internal:1/thynk",
         "mongodb://127.0.0.1:1/thynk?directConnection=true"),
        ("mongodb://host.docker.internal/", "mongodb://127.0.0.1:27017/?directConnection=true"),
        (f"mongodb://u%40x:{ENCODED}@host.docker.internal:1/db?authSource=admin&replicaSet=rs0&w=1",
         f"mongodb://u%40x:{ENCODED}@127.0.0.1:1/db?authSource=admin&w=1&directConnection=true"),
        ("mongodb://HOST.docker.internal:1/a?directConnection=false&tls=true",
         "mongodb://127.0.0.1:1/a?tls=true&directConnection=true"),
        ("mongodb://host.docker.internal:1,db2:2/a?replicaSet=rs0",
         "mongodb://127.0.0.1:1,db2:2/a?replicaSet=rs0"),
        ("mongodb://host.docker.internal:pw@db:1/a", "mongodb://host.docker.internal:pw@db:1/a"),
        ("mongodb+srv://u:p@cluster.example.org/a", "mongodb+srv://u:p@cluster.example.org/a"),
    ],
)  # fmt: skip
def test_only_the_name_of_this_host_is_replaced(inside, outside):
    assert host_uri(inside) == outside


def test_a_mongod_that_only_containers_reach_is_found_at_the_bridge(tmp_path, monkeypatch):
    """And its replica set, whose member is advertised under yet another address."""
    monkeypatch.setattr(mongo_uri, "BRIDGE", "127.0.0.9")
    with running_mongod(tmp_path, address="127.0.0.9") as port:
        uri = f"mongodb://host.docker.internal:{port}/thynk?replicaSet=rs0"
        with Mongo.connect(uri) as mongo:
            mongo.ping()
            assert mongo.databases == ("thynk",)


def test_a_replica_set_is_reached_under_another_name_than_it_has(replica_set):
    port = replica_set.rstrip("/").rpartition(":")[2]
    with Mongo.connect(f"mongodb://host.docker.internal:{port}/x?replicaSet=rs0") as mongo:
        assert mongo.server().replica_set == "rs0"


@contextlib.contextmanager
def user(guarded, name, roles, password="secret"):
    uri = guarded.replace("root:root@", f"{name}:{ENCODED if password == PASSWORD else password}@")
    with MongoClient(guarded) as root:
        root.admin.command("createUser", name, pwd=password, roles=roles)
        try:
            yield uri, root
        finally:
            root.admin.command("dropUser", name)
            root.drop_database("thynk")


READ_WRITE = {"role": "readWrite", "db": "thynk"}


def test_special_characters_in_a_password_reach_the_server(guarded):
    with user(guarded, "app", [READ_WRITE], PASSWORD) as (uri, _):
        inside = Mongo.connect(uri.replace("127.0.0.1", "host.docker.internal"), ("thynk",))
        with inside as mongo:
            mongo.ping()


def test_no_message_holds_the_password(guarded):
    wrong = guarded.replace("root:root@", f"root:{ENCODED}@")
    with Mongo.connect(wrong, ("thynk",)) as mongo, pytest.raises(GuardError) as refused:
        mongo.ping()
    assert "Authentication failed" in refused.value.message
    assert ENCODED not in str(refused.value)
    assert PASSWORD not in str(refused.value)
    for text in ("mongodb://root:p@ss@h:bad/x", "mongodb://root:hunter22@h:99999999/x"):
        with pytest.raises(GuardError) as unreadable, Mongo.connect(text):
            pass
        assert "hunter22" not in str(unreadable.value)
        assert "p@ss" not in str(unreadable.value)
        assert unreadable.value.__suppress_context__  # the cause quotes the URI


def test_no_database_is_refused_naming_the_key(standalone):
    with pytest.raises(GuardError, match=r"data\.mongodb names no database"):
        Mongo.connect(standalone)


def test_a_mongod_that_is_away_is_unavailable(monkeypatch):
    monkeypatch.setattr("worker.adapters.mongo.FOUND_WITHIN", 200)
    away = Mongo.connect("mongodb://127.0.0.1:1/x")
    with away, pytest.raises(UnavailableError, match="could not say what it is"):
        away.server()


def test_a_user_who_may_save_and_not_restore_is_refused_naming_the_role(guarded):
    with user(guarded, "app", [READ_WRITE]) as (uri, root), Mongo.connect(uri, ("thynk",)) as mongo:
        root["thynk"].users.insert_one({})
        with pytest.raises(GuardError) as refused:
            mongo.check_restorable()
        assert "MongoDB's user app may not restore the database thynk" in refused.value.message
        grant = 'db.getSiblingDB("admin").grantRolesToUser("app", [{role: "readWrite", db: "thynk"}'
        assert grant in refused.value.remedy
        assert root["thynk"].list_collection_names() == ["users"]


def test_the_role_that_the_remedy_names_is_enough(guarded):
    roles = [READ_WRITE, {"role": "restore", "db": "admin"}]
    with user(guarded, "app", roles) as (uri, root), Mongo.connect(uri, ("thynk",)) as mongo:
        root["thynk"]["_sheetanchor_probe.staged"].insert_one({"left": "by a killed run"})
        mongo.check_restorable()
        assert root["thynk"].list_collection_names() == []


def test_an_admin_uri_restores_where_the_app_s_user_may_not(guarded):
    with user(guarded, "app", [READ_WRITE]) as (uri, _):
        both = Mongo.connect(uri, ("thynk",), guarded)
        with both as mongo:
            mongo.check_restorable()


RESTORE, BACKUP = ({"role": role, "db": "admin"} for role in ("restore", "backup"))
SCRATCH = {"role": "readWrite", "db": "thynk_scratch"}


@pytest.mark.parametrize(
    ("roles", "missing"),
    [
        ([READ_WRITE, RESTORE], "find"),
        ([READ_WRITE, RESTORE, BACKUP], "dropIndex"),
        ([READ_WRITE, SCRATCH], "bypassDocumentValidation"),
        ([READ_WRITE, SCRATCH, RESTORE], None),
        ([{"role": "dbOwner", "db": "thynk_scratch"}], None),
        ([{"role": "root", "db": "admin"}], None),
    ],
)
def test_what_the_server_says_of_rights_is_what_a_try_shows(guarded, roles, missing):
    """To ask disturbs no drill that runs; to try would."""
    with user(guarded, "app", roles) as (uri, root), Mongo.connect(uri, ("thynk",)) as mongo:
        writer, app = mongo.writer("thynk_scratch"), ("app", "admin")
        told = mongo_guards.foreseen(writer, app)
        assert "thynk_scratch" not in root.list_database_names()
        if missing is None:
            assert told is None
            mongo_guards.check_restorable(writer, app)
            return
        assert missing in told.message
        with pytest.raises(GuardError) as tried:
            mongo_guards.check_restorable(writer, app)
        assert (told.message.partition(":")[0], told.remedy) == (
            tried.value.message.partition(":")[0],
            tried.value.remedy,
        )


def test_where_nobody_asks_for_a_password_everything_may_be_done(thynk):
    assert thynk.mongo.writer("thynk_scratch").missing_rights() == []


def test_a_process_waits_at_its_end_for_no_connection_that_was_closed(standalone):
    """The driver's threads are waited for at exit, up to half a second each (measured)."""
    before = set(threading.enumerate())

    def ours():
        there = set(threading.enumerate()) - before
        return [one for one in there if one.name.startswith("pymongo")]

    with Mongo.connect(standalone, ("thynk",)) as mongo:
        mongo.ping()
        assert ours()
    until(lambda: not ours())


def test_sharded_clusters_are_refused(thynk, monkeypatch):
    thynk.mongo.refuse_unsupported()
    router = server_of({"msg": "isdbgrid"}, "6.0.5")
    monkeypatch.setattr(Mongo, "server", lambda _: router)
    with pytest.raises(GuardError, match="sharded"):
        thynk.mongo.refuse_unsupported()


def test_time_series_that_the_user_may_not_save_or_restore_are_refused_naming_the_roles(guarded):
    with user(guarded, "app", [READ_WRITE]) as (uri, root), Mongo.connect(uri, ("thynk",)) as mongo:
        root["thynk"].create_collection("cpu", timeseries={"timeField": "t"})
        with pytest.raises(GuardError, match=r"thynk\.cpu") as refused:
            mongo.refuse_unsupported()
        with pytest.raises(GuardError, match="may not restore"):
            mongo.check_restorable()
        grant = '{role: "backup", db: "admin"}, {role: "restore", db: "admin"}'
        assert grant in refused.value.remedy
        roles = [{"role": role, "db": "admin"} for role in ("backup", "restore")]
        root.admin.command("grantRolesToUser", "app", roles=roles)
        mongo.refuse_unsupported()
        mongo.check_restorable()
        assert sorted(root["thynk"].list_collection_names()) == [
            "cpu",
            "system.buckets.cpu",
            "system.views",
        ]


LONG_UPDATE = """
import sys, pymongo
db = pymongo.MongoClient(sys.argv[1], appname="thynk")["thynk"]
db.messages.update_many({}, [{"$set": {"n": {"$add": ["$n", 1]}}}])
"""


def test_what_a_killed_client_began_is_seen_until_it_ends(thynk, standalone):
    """mongod finishes it: 343,000 of 500,000 documents after the kill (measured)."""
    thynk.db.messages.insert_many({"n": 0, "pad": "x" * 100} for _ in range(60_000))
    assert thynk.mongo.operations() == []
    client = subprocess.Popen([sys.executable, "-c", LONG_UPDATE, standalone])
    until(thynk.mongo.operations)
    client.kill()
    client.wait()
    operations = thynk.mongo.operations()
    assert [(each.what, each.namespace, each.writes) for each in operations] == [
        ("update", "thynk.messages", True)
    ]
    assert "update on thynk.messages by thynk at 127.0.0.1" in str(operations[0])
    thynk.mongo.kill(operations[0])
    until(lambda: not thynk.mongo.operations())
    assert thynk.db.messages.count_documents({"n": 0}) > 0


def test_a_user_sees_its_own_app_s_operations_without_further_rights(guarded):
    with user(guarded, "app", [READ_WRITE]) as (uri, root), Mongo.connect(uri, ("thynk",)) as mongo:
        root["thynk"].messages.insert_many({"n": 0, "pad": "x" * 100} for _ in range(60_000))
        client = subprocess.Popen([sys.executable, "-c", LONG_UPDATE, uri])
        try:
            until(mongo.operations)
        finally:
            client.wait()


def test_an_open_transaction_is_seen_and_can_be_ended(replica_set):
    with MongoClient(replica_set) as client, Mongo.connect(replica_set, ("thynk",)) as mongo:
        client["thynk"].c.insert_one({"_id": 1})
        with client.start_session() as session:
            session.start_transaction()
            client["thynk"].c.update_one({"_id": 1}, {"$set": {"n": 1}}, session=session)
            (operation,) = mongo.operations()
            assert operation.what == "an open transaction"
            mongo.kill(operation)
            until(lambda: not mongo.operations())
        client.drop_database("thynk")


def test_a_foreign_writer_is_named_and_expiring_documents_are_none(thynk):
    thynk.db.kept.insert_one({"_id": 1})
    thynk.db.written.insert_one({"_id": 1, "n": 1})
    thynk.db.sessions.create_index("at", expireAfterSeconds=3600)
    thynk.db.dropped.insert_one({})
    before = readings(thynk.mongo)
    assert fence_writers(before, readings(thynk.mongo)) == []
    time.sleep(0.01)
    thynk.db.written.update_one({"_id": 1}, {"$set": {"n": 2}})
    thynk.db.sessions.insert_one({})
    thynk.db.dropped.drop()
    thynk.db.made.insert_one({})
    found = fence_writers(before, readings(thynk.mongo))
    assert found == ["thynk.dropped", "thynk.made", "thynk.written"]
