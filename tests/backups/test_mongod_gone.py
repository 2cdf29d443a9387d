"""mongod is killed in the middle of a backup or a restore: nothing is lost, nothing half-made."""

import signal
import subprocess

import pytest
from pymongo import MongoClient

from tests.backups.support import fingerprint, free_port, mongod_path, thynk_on, tree
from worker.adapters import mongo as mongo_adapter
from worker.adapters.mongo import Mongo
from worker.adapters.mongo_writer import Writer
from worker.backups import catalogue
from worker.backups.verify import verify
from worker.errors import UnavailableError


class OwnMongod:
    """A mongod that a test may kill, and start again on what it left."""

    def __init__(self, home):
        self.port, self.home = free_port(), home
        self.start()

    def start(self):
        argv = [mongod_path(), "--dbpath", str(self.home), "--port", str(self.port)]
        argv += ["--bind_ip", "127.0.0.1", "--wiredTigerCacheSizeGB", "0.5", "--nounixsocket"]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        with MongoClient(self.uri, serverSelectionTimeoutMS=60_000) as client:
            client.admin.command("ping")

    @property
    def uri(self):
        return f"mongodb://127.0.0.1:{self.port}/"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def mongod(tmp_path):
    (tmp_path / "db").mkdir()
    made = OwnMongod(tmp_path / "db")
    yield made
    if made.process.poll() is None:
        made.kill()


def dies_at(monkeypatch, mongod, owner, method, number):
    """Kill mongod just before the nth call of a method; a generator's counts when it is read."""
    calls, original = [], getattr(owner, method)

    def deadly(self, *args, **named):
        calls.append(args)
        if len(calls) == number:
            mongod.kill()
        return original(self, *args, **named)

    monkeypatch.setattr(owner, method, deadly)


def test_mongod_that_dies_takes_nothing_with_it(mongod, tmp_path, monkeypatch):
    monkeypatch.setattr(mongo_adapter, "FOUND_WITHIN", 1_000)
    with thynk_on(mongod.uri, tmp_path / "checkout") as thynk:
        for name in ("a", "b"):
            thynk.db[name].insert_many({"_id": n, "x": "x" * 1000} for n in range(5000))
            thynk.db[name].create_index("x")
        good, files, folder = (
            fingerprint(thynk.db),
            tree(thynk.uploads),
            thynk.source.app.backup_dir,
        )
        backup = thynk.backup()

        with monkeypatch.context() as broken:
            dies_at(broken, mongod, Mongo, "raw_batches", 2)
            with pytest.raises(UnavailableError):
                thynk.backup()
        mongod.start()
        assert [one.name for one in folder.iterdir()] == [backup.id]
        assert catalogue.backups(folder, "thynk") == [backup]
        verify(backup.path)
        assert fingerprint(thynk.db) == good

        for method, number in (("insert", 2), ("swap_in", 1), ("swap_in", 2)):
            spoil(thynk)
            live = fingerprint(thynk.db)
            with monkeypatch.context() as broken:
                dies_at(broken, mongod, Writer, method, number)
                with pytest.raises(UnavailableError) as gone:
                    thynk.restore(backup)
            mongod.start()
            if method != "swap_in":
                assert (thynk.uploads / "photo.jpg").read_text() == "spoilt"
            assert ("had begun to replace" in gone.value.message) == (method == "swap_in")
            assert may_be_left((method, number), without_ours(fingerprint(thynk.db)), live, good)
            thynk.restore(backup)
            assert fingerprint(thynk.db) == good
            assert tree(thynk.uploads) == files
        assert backup == catalogue.find(folder, "thynk")


def spoil(thynk):
    for name in ("a", "b"):
        thynk.db[name].insert_one({"spoilt": True})
    (thynk.uploads / "photo.jpg").write_text("spoilt")


def may_be_left(died_at, left, live, good):
    """Return whether the live data is as it was; a rename that nobody waited for may be there."""
    same = [left[0][name] == good[0][name] for name in ("a", "b")]
    return left == live or (died_at == ("swap_in", 2) and same == [True, False])


def without_ours(found):
    """Return a fingerprint without what was staged, which the next restore removes."""
    return tuple(
        {name: value for name, value in part.items() if not name.startswith("_sheetanchor_")}
        for part in found
    )
