"""mongod is killed in the middle of a backup or a restore: nothing is lost, nothing half-made."""

import contextlib
import signal
import socket
import subprocess
import threading
from dataclasses import replace
from urllib.parse import urlsplit

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


WHOLE = 12_000 * 123  # bytes of the documents below
HALF = WHOLE // 2


class Wire:
    """What all words to a mongod go through, and that breaks after so many bytes, once."""

    def __init__(self, port):
        self._to, self._ends, self.breaks_after = ("127.0.0.1", port), [], None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"mongodb://127.0.0.1:{self._listener.getsockname()[1]}/?directConnection=true"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(self._to)
                self._ends += [here, there]
                for pair in ((here, there), (there, here)):
                    self._threads.append(threading.Thread(target=self._pump, args=pair))
                    self._threads[-1].start()

    def _pump(self, one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                if self.breaks_after is not None:
                    self.breaks_after -= len(data)
                    if self.breaks_after < 0:
                        self.breaks_after = None
                        self._cut()
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _cut(self):
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._cut()
        for thread in self._threads:
            thread.join()
        for end in (self._listener, *self._ends):
            end.close()


@pytest.fixture
def wire(standalone):
    made = Wire(urlsplit(standalone).port)
    yield made
    made.close()


def test_a_connection_that_breaks_leaves_nothing_staged_and_no_half_backup(thynk, wire):
    """mongod goes on, so what was staged can be removed at once, and is."""
    thynk.db.a.insert_many({"_id": n, "x": "x" * 100} for n in range(12_000))
    good, files, folder = fingerprint(thynk.db), tree(thynk.uploads), thynk.source.app.backup_dir
    with Mongo.connect(wire.uri, ("thynk",)) as mongo:
        wired = replace(thynk, mongo=mongo, source=replace(thynk.source, mongo=mongo))
        backup = wired.backup()
        wire.breaks_after = HALF
        with pytest.raises(UnavailableError):
            wired.backup()
        assert [one.name for one in folder.iterdir()] == [backup.id]
        verify(backup.path)

        thynk.db.a.insert_one({"_id": "spoilt"})
        (thynk.uploads / "photo.jpg").write_text("spoilt")
        live, shown = fingerprint(thynk.db), [one[0] for one in tree(thynk.uploads).values()]
        wire.breaks_after = int(1.4 * WHOLE)  # the live ones are read first, to find what differs
        with pytest.raises(UnavailableError):
            wired.restore(backup)
        assert fingerprint(thynk.db) == live, "nothing of ours is left, either"
        assert [one[0] for one in tree(thynk.uploads).values()] == shown

        wired.restore(backup)
        assert (fingerprint(thynk.db), tree(thynk.uploads)) == (good, files)
