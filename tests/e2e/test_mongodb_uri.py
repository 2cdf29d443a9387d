"""A MONGODB_URI as people have them: users, passwords, options, replica sets, roles."""

import contextlib
from urllib.parse import quote

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.e2e.conftest import BRIDGE, Mongod
from tests.e2e.test_data import MIGRATION
from tests.e2e.world import World, release, until

TWO = {"release.json": release("two")}
BAD = {"release.json": release("three"), "migration.py": f"{MIGRATION}raise SystemExit(9)\n"}
PASSWORD = "correct@horse:/?#[]$%& \"'HOME"
ROOT = "root-of-the-tests"
OPTIONS = "authSource=admin&retryWrites=true"


class GuardedMongod(Mongod):
    """A mongod that asks for a password; `client` is its administrator."""

    def __init__(self, home):
        super().__init__(home, "--auth")
        self.client.admin.command("createUser", "root", pwd=ROOT, roles=["root"])
        self.client.close()
        self.client = MongoClient(
            "127.0.0.1", self.port, username="root", password=ROOT, directConnection=True
        )


class ReplicaSet(Mongod):
    """One member, known by the address under which containers reach it."""

    def __init__(self, home):
        super().__init__(home, "--replSet", "rs0")
        member = {"_id": 0, "host": f"{BRIDGE}:{self.port}"}
        self.client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
        until(lambda: self.client.admin.command("hello")["isWritablePrimary"], "a primary")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    server = GuardedMongod(tmp_path_factory.mktemp("guarded"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def replica_set(tmp_path_factory):
    server = ReplicaSet(tmp_path_factory.mktemp("rs0"))
    yield server
    server.close()


def world_of(tmp_path, server):
    world = World(tmp_path, server)
    try:
        yield world
    finally:
        world.close()
        with contextlib.suppress(PyMongoError):
            server.client.admin.command("dropUser", world.name)


@pytest.fixture
def world(tmp_path, guarded):
    """A world whose database asks for a password."""
    yield from world_of(tmp_path, guarded)


@pytest.fixture
def replicated(tmp_path, replica_set):
    yield from world_of(tmp_path, replica_set)


def user(world, *roles, password=PASSWORD, safe=""):
    """Make the app's user; return the URI with its password."""
    world.db.client.admin.command("createUser", world.name, pwd=password, roles=list(roles))
    return uri(world, password, safe)


def uri(world, password, safe=""):
    who = f"{world.name}:{quote(password, safe=safe)}"
    where = f"host.docker.internal:{world.mongod.port}/{world.name}"
    return f"mongodb://{who}@{where}?{OPTIONS}"


def may_all(world):
    return {"role": "readWrite", "db": world.name}, {"role": "restore", "db": "admin"}


def good_then_bad(world):
    """A good push succeeds, and a bad one's migration is undone."""
    good = world.wait(world.push(TWO))
    assert (good["status"], good["error"]) == ("succeeded", None)
    assert world.version() == "two"
    before = world.fingerprint()
    bad = world.wait(world.push(BAD))
    assert bad["status"] == "rolled_back", bad
    assert bad["safety_backup"]
    assert world.version() == "two"
    assert world.fingerprint() == before


@pytest.mark.parametrize(
    ("quoted", "safe"),
    [("{}", ""), ("'{}'", "$&"), ('"{}"', ""), ("'{}'  # the database", "")],
    ids=["bare", "single-quoted-with-a-dollar", "double-quoted", "with-a-comment"],
)
def test_password_with_special_characters_is_read_as_compose_reads_it(world, quoted, safe):
    written = user(world, *may_all(world), safe=safe)
    world.uri = quoted.format(written)
    world.begin()
    assert world.environment()["MONGODB_URI"] == written
    world.post("/documents", b'{"name": "through the app"}')

    good_then_bad(world)

    assert world.db.documents.count_documents({"name": "through the app"}) == 1
    spoken = [
        path
        for folder in ("logs", "journal")
        for path in (world.state / "apps" / world.name / folder).iterdir()
    ] + list(world.home.glob("*.log"))
    secrets = (PASSWORD, quote(PASSWORD, safe=safe))
    assert len(spoken) > 3
    assert [p for p in spoken for secret in secrets if secret in p.read_text()] == []


@pytest.mark.parametrize("host", ["host.docker.internal", BRIDGE], ids=["by-name", "by-address"])
def test_replica_set_known_by_the_bridges_address(replicated, host):
    replicated.uri = f"mongodb://{host}:{replicated.mongod.port}/{replicated.name}?replicaSet=rs0"
    replicated.begin()

    good_then_bad(replicated)


def by_hand(world, written):
    """Bring version one up as a person did before there was sheetanchor."""
    world.uri = written
    world.prepare()
    world.compose("up", "-d", "--build")
    until(lambda: world.version() == "one", "version one answers")
    world.fill()
    world.up()


DUMPS_ONLY = {
    "read-write": lambda world: [{"role": "readWrite", "db": world.name}],
    "read-and-backup": lambda world: [
        {"role": "read", "db": world.name},
        {"role": "backup", "db": "admin"},
    ],
    "read": lambda world: [{"role": "read", "db": world.name}],
}


@pytest.mark.parametrize("roles", DUMPS_ONLY.values(), ids=DUMPS_ONLY)
def test_user_who_may_dump_and_not_restore_is_refused_with_the_role_to_grant(world, roles):
    text = world.config.read_text()
    drilled = 'dir = "backups"\ndrill = "0 4 * * 0"\n'
    world.config.write_text(text.replace('dir = "backups"\n', drilled))
    by_hand(world, user(world, *roles(world)))
    before = world.fingerprint()

    ended = world.wait(world.push(TWO))

    assert (ended["status"], ended["error"]["step"]) == ("failed", "preflight"), ended
    assert world.name in ended["error"]["message"]
    assert "may not restore" in ended["error"]["message"]
    remedy = ended["error"]["remedy"]
    assert f'db.getSiblingDB("admin").grantRolesToUser("{world.name}"' in remedy
    assert '{role: "restore", db: "admin"}' in remedy
    assert world.fingerprint() == before
    assert world.backups() == []

    world.db.client.admin.command("grantRolesToUser", world.name, roles=list(may_all(world)))
    again = world.wait(world.push({"after.txt": "the remedy"}))

    assert again["status"] == "succeeded", again
    assert world.version() == "two"
    [told] = [one for one in again["warnings"] if "drill" in one]  # a Sunday at four is too late
    assert f'{{role: "readWrite", db: "{world.name}_sheetanchor_drill"}}' in told


def test_admin_file_restores_where_the_apps_user_may_not(world):
    admin = world.home / "admin.uri"
    admin.write_text(f"mongodb://root:{ROOT}@127.0.0.1:{world.mongod.port}/?authSource=admin\n")
    admin.chmod(0o600)
    text = world.config.read_text()
    uploads = 'uploads = ["uploads"]\n'
    assert uploads in text
    world.config.write_text(text.replace(uploads, f'{uploads}mongodb_admin_file = "{admin}"\n'))
    by_hand(world, user(world, {"role": "readWrite", "db": world.name}))

    good_then_bad(world)


def test_wrong_password_is_refused_and_not_shown(world):
    right = user(world, *may_all(world))
    by_hand(world, right)
    env = world.checkout / ".env.production"
    env.write_text(env.read_text().replace(right, uri(world, "wrong@horse")))
    before = world.fingerprint()

    ended = world.wait(world.push(TWO))

    assert (ended["status"], ended["error"]["step"]) == ("failed", "preflight"), ended
    assert "password" in ended["error"]["remedy"]
    assert "wrong" not in f"{ended['error']}"
    assert world.fingerprint() == before


def test_uri_that_cannot_be_read_is_refused_and_not_shown(world):
    by_hand(world, user(world, *may_all(world)))
    env = world.checkout / ".env.production"
    env.write_text(
        f"MONGODB_URI=mongodb://{world.name}:unescaped@secret@@x:y/z\nPORT={world.port}\n"
    )
    before = world.fingerprint()

    ended = world.wait(world.push(TWO))

    assert (ended["status"], ended["error"]["step"]) == ("failed", "preflight"), ended
    assert "data.mongodb" in ended["error"]["message"]
    assert "percent-encoded" in ended["error"]["remedy"]
    assert "unescaped" not in f"{ended['error']}"
    assert world.fingerprint() == before
