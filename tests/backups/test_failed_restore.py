"""A restore that fails or is killed: the live data is as it was, or a second run ends it."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.backups.forging import forge_collection
from tests.backups.support import fingerprint, tree, uuids
from worker.adapters.mongo import Mongo
from worker.adapters.mongo_writer import Writer
from worker.backups.difference import difference
from worker.errors import GuardError, RestoreError, UsageError

KILLED = Path(__file__).with_name("killed_restore.py")


@pytest.fixture
def spoilt(thynk):
    """A backup, and live data that differs from it everywhere."""
    for name in ("a", "b", "c"):
        thynk.db[name].insert_many({"_id": n, "name": name} for n in range(1000))
        thynk.db[name].create_index("name")
    thynk.db.sessions.create_index("at", expireAfterSeconds=3600)
    thynk.db.create_collection("view", viewOn="a", pipeline=[])
    (thynk.uploads / "folder").mkdir()
    (thynk.uploads / "folder/file").write_text("old")
    good, files = fingerprint(thynk.db), tree(thynk.uploads)
    backup = thynk.backup()
    for name in ("a", "b", "c", "sessions"):
        thynk.db[name].insert_one({"spoilt": True})
    thynk.db.sessions.drop_indexes()
    thynk.db.drop_collection("view")
    thynk.db.added.insert_one({})
    (thynk.uploads / "folder/file").write_text("new")
    (thynk.uploads / "photo.jpg").unlink()
    (thynk.uploads / "added").touch()
    thynk.env.write_text("SECRET=two\n")
    return thynk, backup, good, files


def ours(db):
    return [name for name in db.list_collection_names() if name.startswith("_sheetanchor_")]


def refuse_when(monkeypatch, method, number):
    """Let the nth call of a Writer's method fail, as a mongod that lost its disk would."""
    calls, original = [], getattr(Writer, method)

    def failing(self, *args, **named):
        calls.append(args)
        if len(calls) == number:
            raise RestoreError("The disk is gone.", remedy="Mend it.")
        return original(self, *args, **named)

    monkeypatch.setattr(Writer, method, failing)


@pytest.mark.parametrize(
    ("method", "number"), [("create", 4), ("insert", 1), ("insert", 3), ("create_indexes", 2)]
)
def test_a_failure_before_the_swap_leaves_everything_as_it_was(spoilt, monkeypatch, method, number):
    thynk, backup, _, _ = spoilt
    live, ids, files = fingerprint(thynk.db), uuids(thynk.db), tree(thynk.uploads)
    refuse_when(monkeypatch, method, number)
    with pytest.raises(RestoreError, match="The disk is gone"):
        thynk.restore(backup)
    assert (fingerprint(thynk.db), uuids(thynk.db)) == (live, ids)
    without_times = {path: seen[:4] for path, seen in tree(thynk.uploads).items()}
    assert without_times == {path: seen[:4] for path, seen in files.items()}
    assert thynk.env.read_text() == "SECRET=two\n"


def test_what_mongod_did_not_keep_is_never_swapped_in(spoilt, monkeypatch):
    thynk, backup, _, _ = spoilt
    live, original = fingerprint(thynk.db), Writer.insert
    monkeypatch.setattr(Writer, "insert", lambda self, name, docs: original(self, name, docs[1:]))
    with pytest.raises(RestoreError, match="read back as 999 documents"):
        thynk.restore(backup)
    assert fingerprint(thynk.db) == live


def test_a_duplicate_for_a_unique_index_leaves_everything_as_it_was(spoilt):
    thynk, backup, _, _ = spoilt
    index = backup.manifest().databases["thynk"]["b"].indexes
    forge_collection(backup, "b", indexes=[index[0], {**index[1], "unique": True}])
    live, ids, files = fingerprint(thynk.db), uuids(thynk.db), tree(thynk.uploads)
    with pytest.raises(RestoreError, match=r"build the indexes .*E11000 duplicate key"):
        thynk.restore(backup)
    assert (fingerprint(thynk.db), uuids(thynk.db)) == (live, ids)
    assert [one[0] for one in tree(thynk.uploads).values()] == [one[0] for one in files.values()]
    assert thynk.env.read_text() == "SECRET=two\n"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_failure_in_the_swap_says_so_and_a_second_run_finishes(spoilt, monkeypatch, number):
    thynk, backup, good, files = spoilt
    with monkeypatch.context() as broken:
        refuse_when(broken, "swap_in", number)
        with pytest.raises(RestoreError, match="after it had begun to replace data"):
            thynk.restore(backup)
    thynk.restore(backup)
    assert fingerprint(thynk.db) == good
    assert tree(thynk.uploads) == files


@pytest.mark.parametrize(
    "place",
    ["Writer.insert:2", "Writer.create_indexes:1", "Tree.create:1", "Tree.remove:2",
     "Tree.swap_in:1", "Tree.swap_in:2", "Writer.swap_in:1", "Writer.swap_in:3",
     "Writer.drop:1", "Writer.create:5", "Writer.create_indexes:5"],
)  # fmt: skip
def test_a_killed_restore_is_finished_by_a_second_one(spoilt, standalone, place):
    thynk, backup, good, files = spoilt
    argv = [sys.executable, str(KILLED), standalone, str(thynk.checkout), backup.id, place]
    ended = subprocess.run(argv, cwd=Path(__file__).parents[2], check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    thynk.restore(backup)
    assert fingerprint(thynk.db) == good
    assert tree(thynk.uploads) == files
    assert thynk.env.read_text() == "SECRET=one\n"
    assert not difference(thynk.source, backup.manifest())


def test_another_app_s_backup_is_refused(spoilt):
    thynk, backup, _, _ = spoilt
    live = fingerprint(thynk.db)
    app = thynk.source.app.model_copy(update={"name": "another"})
    another = replace(thynk, source=replace(thynk.source, app=app))
    with pytest.raises(UsageError, match="is of thynk, not of another"):
        another.restore(backup)
    assert fingerprint(thynk.db) == live


def test_a_backup_of_a_newer_mongodb_is_refused(spoilt, monkeypatch):
    thynk, backup, _, _ = spoilt
    live, server = fingerprint(thynk.db), thynk.mongo.server()
    monkeypatch.setattr(Mongo, "server", lambda _: replace(server, version="5.0.30"))
    with pytest.raises(RestoreError, match=r"made with MongoDB 6\.0\.\d+, and 5\.0\.30 runs"):
        thynk.restore(backup)
    assert fingerprint(thynk.db) == live


def test_a_database_that_is_not_named_is_refused(spoilt, standalone):
    thynk, backup, _, _ = spoilt
    with Mongo.connect(standalone, ("elsewhere",)) as mongo:
        other = replace(thynk, source=replace(thynk.source, mongo=mongo))
        with pytest.raises(UsageError, match=r"holds thynk, which .* does not name"):
            other.restore(backup)


def test_only_an_empty_database_is_loaded_into(spoilt):
    thynk, backup, _, _ = spoilt
    try:
        thynk.client["thynk_full"].precious.insert_one({})
        for name in ("thynk_full", "thynk"):
            with pytest.raises(UsageError, match=r"is live|is not empty"):
                thynk.restore(backup, to_database=name)
        assert thynk.client["thynk_full"].precious.count_documents({}) == 1
    finally:
        thynk.client.drop_database("thynk_full")


def test_a_user_who_may_not_restore_leaves_the_live_data(spoilt, guarded):
    """The role is found in preflight; but it can be lost after that."""
    thynk, backup, _, _ = spoilt
    with Mongo.connect(guarded, ("thynk",)) as root:
        admin = root._admin
        admin["thynk"].c.insert_one({"_id": "live"})
        admin.admin.command(
            "createUser", "app", pwd="app", roles=[{"role": "readWrite", "db": "thynk"}]
        )
        uri = guarded.replace("root:root@", "app:app@")
        try:
            with Mongo.connect(uri, ("thynk",)) as mongo:
                poor = replace(thynk, source=replace(thynk.source, mongo=mongo))
                with pytest.raises(GuardError, match="not authorized"):
                    poor.restore(backup, only="mongodb")
            assert admin["thynk"].list_collection_names() == ["c"]
        finally:
            admin.admin.command("dropUser", "app")
            admin.drop_database("thynk")
