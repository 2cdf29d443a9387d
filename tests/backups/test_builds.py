"""Indexes are built while the next documents go in, and no build outlives its restore.

On a mongod of its own, whose failpoints hold a build up for as long as it takes to look.
"""

import contextlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.backups.forging import forge_collection
from tests.backups.support import fingerprint, running_mongod, thynk_on, until, uuids
from worker.adapters.mongo_writer import Writer
from worker.backups.builds import THREAD
from worker.errors import RestoreError

KILLED = Path(__file__).with_name("killed_restore.py")
HANGS = "hangAfterStartingIndexBuild"
FIRST, SECOND = "_sheetanchor_restore.0000", "_sheetanchor_restore.0001"
DOCUMENTS = 500


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    home = tmp_path_factory.mktemp("builds")
    with running_mongod(home, "--setParameter", "enableTestCommands=1") as port:
        yield f"mongodb://127.0.0.1:{port}/"


@pytest.fixture
def spoilt(uri, tmp_path):
    """An app with two collections, a backup, and live data that differs from it."""
    with thynk_on(uri, tmp_path / "checkout") as app:
        for name in ("a", "b"):
            app.db[name].insert_many({"_id": n, "name": "same"} for n in range(DOCUMENTS))
            app.db[name].create_index("name")
        good, backup = fingerprint(app.db), app.backup()
        for name in ("a", "b"):
            app.db[name].insert_one({"_id": "spoilt"})
        yield app, backup, good


@contextlib.contextmanager
def builds_hang(app):
    app.client.admin.command("configureFailPoint", HANGS, mode="alwaysOn")
    try:
        yield
    finally:
        app.client.admin.command("configureFailPoint", HANGS, mode="off")


def is_building(app):
    """Return whether the server itself builds an index, for whomever."""
    found = app.client.admin.aggregate([{"$currentOp": {}}])
    return any("IndexBuildsCoordinator" in one.get("desc", "") for one in found)


def thread_lives():
    return any(thread.name == THREAD for thread in threading.enumerate())


def staged(app):
    return [name for name in app.db.list_collection_names() if name.startswith("_sheet")]


def at_insert_into(monkeypatch, name, act):
    """Call `act` before each insert into a collection; return the names of all of them."""
    names, original = [], Writer.insert

    def acting(self, into, documents):
        names.append(into)
        if into == name:
            act()
        original(self, into, documents)

    monkeypatch.setattr(Writer, "insert", acting)
    return names


@contextlib.contextmanager
def restoring(app, backup):
    thread = threading.Thread(target=app.restore, args=(backup,))
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_documents_go_in_and_are_read_back_while_the_indexes_before_are_built(spoilt, monkeypatch):
    app, backup, good = spoilt
    read, original = [], Writer.raw_batches

    def raw_batches(self, name):
        until(lambda: is_building(app))
        read.append(name)
        return original(self, name)

    monkeypatch.setattr(Writer, "raw_batches", raw_batches)
    with restoring(app, backup), builds_hang(app):
        until(lambda: read == [FIRST, SECOND])
        assert is_building(app)
        assert fingerprint(app.db)[0]["b"] != good[0]["b"]
    assert fingerprint(app.db) == good
    assert not thread_lives()


def test_a_failure_of_the_loading_ends_the_build_under_way(spoilt, monkeypatch, caplog):
    app, backup, _ = spoilt
    live, ids = fingerprint(app.db), uuids(app.db)

    def fail():
        until(lambda: is_building(app))
        raise RestoreError("The disk is gone.", remedy="Mend it.")

    at_insert_into(monkeypatch, SECOND, fail)
    with builds_hang(app):
        with pytest.raises(RestoreError, match="The disk is gone"):
            app.restore(backup)
        assert "build.outlived" not in caplog.text  # else what is cleaned up is in use
        assert not thread_lives()
        assert not is_building(app)
        assert staged(app) == []
    assert (fingerprint(app.db), uuids(app.db)) == (live, ids)


def test_what_ends_the_job_ends_it_while_nothing_but_builds_is_left(spoilt):
    """A person who cancels does not wait for an index build of an hour."""
    app, backup, _ = spoilt
    live = fingerprint(app.db)

    def report(line):
        if line == "thynk: building indexes":
            raise KeyboardInterrupt

    with builds_hang(app):
        with pytest.raises(KeyboardInterrupt):
            app.restore(backup, report=report)
        assert not thread_lives()
        assert not is_building(app)
    assert fingerprint(app.db) == live


def test_a_failed_build_ends_the_loading_of_what_comes_after(spoilt, monkeypatch):
    app, backup, _ = spoilt
    index = backup.manifest().databases["thynk"]["a"].indexes
    forge_collection(backup, "a", indexes=[index[0], {**index[1], "unique": True}])
    live, ids = fingerprint(app.db), uuids(app.db)
    monkeypatch.setattr("worker.backups.load.BATCH_DOCUMENTS", 10)
    names = at_insert_into(monkeypatch, SECOND, lambda: until(lambda: not thread_lives()))
    with pytest.raises(RestoreError, match=r"build the indexes .*E11000 duplicate key"):
        app.restore(backup)
    assert names.count(FIRST) == DOCUMENTS // 10
    assert names.count(SECOND) <= 1
    assert staged(app) == []
    assert (fingerprint(app.db), uuids(app.db)) == (live, ids)


def test_a_restore_killed_in_a_build_is_finished_by_a_second_one(spoilt, uri):
    app, backup, good = spoilt
    argv = [sys.executable, str(KILLED), uri, str(app.checkout), backup.id, "Writer.swap_in:9"]
    with contextlib.ExitStack() as hanging:
        hanging.enter_context(builds_hang(app))
        with subprocess.Popen(argv, cwd=KILLED.parents[2]) as killed:
            until(lambda: is_building(app))
            killed.kill()
        left = uuids(app.db)[FIRST]
        with restoring(app, backup):
            until(lambda: uuids(app.db).get(FIRST) != left)
            hanging.close()
    assert fingerprint(app.db) == good
    assert staged(app) == []
