"""The renames of a restore: only the last waits for the disk, and none of them may get lost."""

import pytest

from tests.backups.support import fingerprint, thynk_on, until
from worker.adapters.mongo_writer import Writer
from worker.backups import restore
from worker.errors import UnavailableError

NAMES = ("a", "b", "c")


@pytest.fixture
def spoilt(replica_set, tmp_path):
    """An app on a replica set, a backup of it, and a live database that differs."""
    with thynk_on(replica_set, tmp_path / "checkout") as app:
        for name in NAMES:
            app.db[name].insert_one({"_id": name})
        good, backup = fingerprint(app.db), app.backup()
        for name in NAMES:
            app.db[name].insert_one({"_id": "spoilt"})
        yield app, backup, good


def before_each_rename(monkeypatch, act):
    """Call `act` with the count of the rename and whether it waits."""
    calls, original = [], Writer.swap_in

    def acting(self, staged, name, *, waits=True):
        calls.append(waits)
        act(len(calls))
        original(self, staged, name, waits=waits)

    monkeypatch.setattr(Writer, "swap_in", acting)
    return calls


def test_only_the_last_rename_waits_for_the_disk(spoilt, monkeypatch):
    app, backup, good = spoilt
    waited = before_each_rename(monkeypatch, lambda _: None)
    app.restore(backup)
    assert waited == [False, False, True]
    assert fingerprint(app.db) == good


def test_a_server_that_names_no_process_is_waited_for_each_time(spoilt, monkeypatch):
    app, backup, good = spoilt
    waited = before_each_rename(monkeypatch, lambda _: None)
    monkeypatch.setattr(Writer, "primary", lambda _: "")
    app.restore(backup)
    assert waited == [True, True, True]
    assert fingerprint(app.db) == good


def test_an_election_among_the_renames_is_noticed_and_a_second_run_finishes(spoilt, monkeypatch):
    """The new primary may never have had the first ones, and takes the last all the same."""
    app, backup, good = spoilt

    def elect(count):
        if count == len(NAMES):
            app.client.admin.command("replSetStepDown", 1, force=True)
            until(lambda: app.client.admin.command("hello")["isWritablePrimary"])

    with monkeypatch.context() as electing:
        before_each_rename(electing, elect)
        with pytest.raises(UnavailableError, match="begun to replace"):
            app.restore(backup)
    app.restore(backup)
    assert fingerprint(app.db) == good


def test_a_run_waits_for_what_a_killed_one_sent_before_it_believes_what_it_reads(
    spoilt, monkeypatch
):
    """Renames that are only in the server's memory: equal to the backup now, undone later."""
    app, backup, _ = spoilt
    done = []
    settle, difference = Writer.settle, restore.difference
    monkeypatch.setattr(Writer, "settle", lambda self: done.append("settled") or settle(self))
    monkeypatch.setattr(
        restore, "difference", lambda *a, **n: done.append("compared") or difference(*a, **n)
    )
    app.restore(backup)
    assert done == ["settled", "compared"]
    assert not [name for name in app.db.list_collection_names() if name.startswith("_sheet")]
