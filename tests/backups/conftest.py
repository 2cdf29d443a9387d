"""Real mongods: a standalone, a replica set of one, one with passwords; and an app's data."""

import contextlib
import time

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.backups.support import running_mongod, thynk_on
from worker.adapters import files


@pytest.fixture(scope="session")
def standalone(tmp_path_factory):
    with running_mongod(tmp_path_factory.mktemp("standalone")) as port:
        yield f"mongodb://127.0.0.1:{port}/"


@pytest.fixture(scope="session")
def replica_set(tmp_path_factory):
    with running_mongod(tmp_path_factory.mktemp("replica"), "--replSet", "rs0") as port:
        yield f"mongodb://127.0.0.1:{port}/"


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    """A mongod with passwords; the administrator is root:root."""
    with running_mongod(tmp_path_factory.mktemp("guarded"), "--auth") as port:
        with MongoClient(f"mongodb://127.0.0.1:{port}/") as client:
            roles = [{"role": "root", "db": "admin"}]
            with contextlib.suppress(PyMongoError):
                client.admin.command("createUser", "root", pwd="root", roles=roles)
        yield f"mongodb://root:root@127.0.0.1:{port}/?authSource=admin"


@pytest.fixture(params=["standalone", "replica_set"])
def each_server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def thynk(standalone, tmp_path):
    """An app with an empty database on the standalone."""
    with thynk_on(standalone, tmp_path / "checkout") as app:
        yield app


@pytest.fixture
def thynk_everywhere(each_server, tmp_path):
    """The same, once on a standalone and once on a replica set."""
    with thynk_on(each_server, tmp_path / "checkout") as app:
        yield app


@pytest.fixture
def old_files(monkeypatch):
    """Believe file times at once: waiting two seconds for it proves nothing more."""
    monkeypatch.setattr(files, "RACY_NS", 20_000_000)

    def wait():
        time.sleep(0.03)

    return wait
