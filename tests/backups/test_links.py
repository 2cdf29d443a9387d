"""What did not change is linked, and nothing is linked that changed."""

import gzip
import os
import threading
from dataclasses import replace
from datetime import timedelta

import bson
import pytest

from tests.backups.support import fingerprint, thynk_on, until
from worker.adapters.mongo import Mongo
from worker.backups import proof
from worker.backups.difference import difference
from worker.clock import SystemClock


def linked(backup, path):
    return (backup.path / path).stat().st_nlink > 1


DATA = "mongodb/thynk/messages.bson.gz"
PHOTO = "uploads/backend/uploads/photo.jpg"


@pytest.fixture
def messages(thynk):
    """An app with 10,000 messages."""
    thynk.db.messages.insert_many({"_id": n, "text": os.urandom(100)} for n in range(10_000))
    return thynk


class JumpingClock(SystemClock):
    """The real clock, set forward."""

    def __init__(self, wall=0, monotonic=0):
        self._wall, self._monotonic = wall, monotonic

    def now(self):
        return super().now() + timedelta(seconds=self._wall)

    def monotonic(self):
        return super().monotonic() + self._monotonic


def later(thynk, **jump):
    return replace(thynk, source=replace(thynk.source, clock=JumpingClock(**jump)))


def lines_of(thynk, **asked):
    lines = []
    return thynk.backup(report=lines.append, **asked), lines


def test_an_unchanged_collection_is_linked_without_reading_it(messages):
    messages.db.messages.update_many({}, {"$set": {"pad": "x" * 3000}})  # 30 MB
    first = messages.backup()
    second, lines = lines_of(messages, kind="fence", previous=first)
    assert linked(second, DATA)
    assert not [line for line in lines if line.startswith("thynk.messages")]
    assert second.manifest().databases["thynk"]["messages"].documents == 10_000
    assert not difference(messages.source, second.manifest())


@pytest.mark.parametrize("jump", [{"wall": 541, "monotonic": 541}, {"wall": 541}, {"wall": -60}])
def test_counters_prove_nothing_after_540_seconds_or_when_the_clock_was_set(messages, jump):
    first = messages.backup()
    second, lines = lines_of(later(messages, **jump), previous=first)
    assert [line for line in lines if line.startswith("thynk.messages")]
    assert linked(second, DATA)  # read again, and equal: it still takes no space


def test_one_changed_document_is_seen(messages):
    first = messages.backup()
    before = fingerprint(messages.db)
    messages.db.messages.update_one({"_id": 5}, {"$set": {"text": os.urandom(100)}})
    second = messages.backup(previous=first)
    assert not linked(second, DATA)
    assert [c.name for c in difference(messages.source, first.manifest()).collections] == [
        "messages"
    ]
    messages.restore(first)
    assert fingerprint(messages.db) == before


def test_chained_links_still_prove_what_they_say(messages):
    first = messages.backup()
    second = messages.backup(previous=first)
    messages.db.messages.delete_one({"_id": 5})
    messages.db.messages.insert_one({"_id": 5, "text": "another"})
    third = messages.backup(previous=second)
    assert not linked(third, DATA)


def test_a_collection_made_anew_is_no_old_one(thynk):
    thynk.db.messages.insert_one({"_id": 1})
    first = thynk.backup()
    thynk.db.messages.drop()
    thynk.db.messages.insert_one({"_id": 2})
    assert not linked(thynk.backup(previous=first), DATA)


def test_a_transaction_that_commits_after_the_backup_is_not_taken_for_unchanged(
    replica_set, tmp_path, monkeypatch
):
    """It counts when it writes and shows when it commits: equal counters, other data."""
    monkeypatch.setattr(proof, "SETTLES_WITHIN", 0.2)
    with thynk_on(replica_set, tmp_path / "checkout") as thynk:
        thynk.db.messages.insert_many([{"_id": 1, "n": 0}, {"_id": 2, "n": 0}])
        with thynk.client.start_session() as session:
            session.start_transaction()
            thynk.db.messages.update_one({"_id": 1}, {"$set": {"n": 9}}, session=session)
            first = thynk.backup()
            session.commit_transaction()
        assert _documents(first, "messages") == [{"_id": 1, "n": 0}, {"_id": 2, "n": 0}]
        second = thynk.backup(previous=first)
        assert not linked(second, DATA)
        thynk.db.messages.drop()
        thynk.restore(second)
        assert thynk.db.messages.find_one({"_id": 1})["n"] == 9


def test_expiring_collections_are_always_read(thynk):
    thynk.db.messages.create_index("at", expireAfterSeconds=3600)
    first = thynk.backup()
    _, lines = lines_of(thynk, previous=first)
    assert [line for line in lines if line.startswith("thynk.messages")]


def test_a_damaged_link_is_made_afresh_and_reported(messages, old_files):
    old_files()
    first = messages.backup()
    for path in (DATA, PHOTO):
        _flip(first.path / path)
    second = messages.backup(previous=first)
    assert not linked(second, DATA)
    assert not linked(second, PHOTO)
    assert len([each for each in second.warnings if "copied afresh" in each]) == 2
    assert (second.path / PHOTO).read_bytes() == (messages.uploads / "photo.jpg").read_bytes()


def test_an_earlier_backup_without_its_manifest_is_no_reason_to_make_none(messages):
    first = messages.backup()
    (first.path / "manifest.json").unlink()
    second = messages.backup(previous=first)
    assert not linked(second, DATA)
    assert "copied afresh" in second.warnings[0]


def test_unchanged_uploads_are_linked_and_changed_ones_are_not(thynk, old_files):
    for name in ("same", "changed", "touched"):
        (thynk.uploads / name).write_bytes(b"before")
    old_files()
    first = thynk.backup()
    (thynk.uploads / "changed").write_bytes(b"after!")
    (thynk.uploads / "touched").touch()
    second = thynk.backup(previous=first)
    top = "uploads/backend/uploads"
    assert linked(second, f"{top}/same")
    assert linked(second, PHOTO)
    assert not linked(second, f"{top}/changed")
    assert not linked(second, f"{top}/touched")
    assert (first.path / top / "changed").read_bytes() == b"before"


def test_a_file_written_a_moment_ago_is_never_linked(thynk):
    """A second write of the same size within one tick of the clock leaves no trace."""
    photo = thynk.uploads / "photo.jpg"
    photo.write_bytes(b"x" * 10)
    first = thynk.backup()
    assert not linked(thynk.backup(previous=first), PHOTO)


def test_live_files_are_never_linked(thynk, old_files):
    old_files()
    backup = thynk.backup()
    thynk.restore(backup)
    (thynk.uploads / "photo.jpg").unlink()
    thynk.restore(backup)
    assert (thynk.uploads / "photo.jpg").stat().st_nlink == 1
    assert (backup.path / PHOTO).stat().st_nlink == 1


def test_a_quiet_backup_is_of_one_moment_and_a_busy_one_says_it_is_not(thynk):
    thynk.db.messages.insert_one({"n": 0})
    assert thynk.backup().one_moment
    made = []
    with _writing(thynk):  # on a busy machine it may pause for as long as a backup takes
        until(lambda: made.append(thynk.backup()) or not made[-1].one_moment)
    assert "thynk.messages" in made[-1].manifest().one_moment_why


def test_a_backup_of_a_busy_app_holds_what_it_says(thynk):
    """Collections come and go, documents and files too; what is written down is true."""
    thynk.db.kept.insert_many({"_id": n} for n in range(2000))
    with _writing(thynk, collections=True):
        backups = [thynk.backup() for _ in range(4)]
    for backup in backups:
        assert {e.name for _, e in backup.manifest().collections()} >= {"kept", "messages"}
        thynk.restore(backup)
        assert not difference(thynk.source, backup.manifest())


@pytest.mark.parametrize("kept", ["before", "then"])
def test_a_collection_dropped_meanwhile_is_left_out(messages, monkeypatch, kept):
    """Before it is read it reads as empty, without an error; in the middle there is one."""
    original = Mongo.raw_batches
    messages.db[kept].insert_one({})

    def dropping(self, collection):
        for batch in original(self, collection):
            yield batch
            messages.db.drop_collection("messages")

    monkeypatch.setattr(Mongo, "raw_batches", dropping)
    backup = messages.backup()
    assert [entry.name for _, entry in backup.manifest().collections()] == [kept]
    assert backup.one_moment  # of the moment after that


class _writing:  # noqa: N801 - used as a with statement
    """Write to the database and the uploads meanwhile."""

    def __init__(self, thynk, collections=False):
        self._thynk, self._collections = thynk, collections
        self._end = threading.Event()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self):
        self._thread.start()
        assert self._begun.wait(5)

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _write(self):
        number = 0
        while not self._end.is_set():
            number += 1
            self._thynk.db.messages.insert_one({"n": number})
            path = self._thynk.uploads / f"{number % 50}"
            path.unlink() if path.exists() else path.write_bytes(os.urandom(number))
            if self._collections and number % 40 == 0:
                self._thynk.db.drop_collection(f"t{number - 40}")
                self._thynk.db[f"t{number}"].insert_one({})
            self._begun.set()


def _documents(backup, name):
    packed = (backup.path / f"mongodb/thynk/{name}.bson.gz").read_bytes()
    return bson.decode_all(gzip.decompress(packed))


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
