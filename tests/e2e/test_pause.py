"""How long a deploy may hold the app for its last backup, and what `live` costs instead.

One world on a replica set; each test leaves it running.
"""

import contextlib
import gzip
import json
import subprocess
import threading

import bson
import pytest

from tests.e2e.conftest import BRIDGE, Mongod
from tests.e2e.world import HERE, World, release, until

COMPOSE = (HERE / "app/docker-compose.yml").read_text()
# Does not stop when it is told to: a stop takes its whole grace.
SLOW = (
    '  slow:\n    image: sheetanchor-base:1\n    command: [bash, -c, \'trap "" TERM; '
    "while :; do sleep 1; done']\n    stop_grace_period: {}s\n    restart: unless-stopped\n"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    mongod = Mongod(tmp_path_factory.mktemp("mongod"), "--replSet", "rs0")
    member = {"_id": 0, "host": f"{BRIDGE}:{mongod.port}"}
    mongod.client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
    until(lambda: mongod.client.admin.command("hello")["isWritablePrimary"], "a primary")
    made = World(
        tmp_path_factory.mktemp("pause"),
        mongod,
        health={"timeout": 100},
        backup={"consistency": "live"},
    )
    made.commit({"docker-compose.yml": COMPOSE + SLOW.format(0)})
    made.prepare()
    deploy(made)
    made.fill()
    yield made
    made.close()
    mongod.close()


def deploy(world, check=0):
    return world.cli_json("deploy", world.name, check=check)


def configure(world, before, after):
    text = world.config.read_text()
    assert before in text
    world.config.write_text(text.replace(before, after))


def fence_of(world, ended):
    (found,) = (
        one for one in world.backups() if (one["deployment"], one["kind"]) == (ended["id"], "fence")
    )
    return found


def since_when(world, service):
    """Return which container of a service runs, and since when: a stop leaves neither."""
    identity = world.compose("ps", "-q", service).stdout.strip()
    shown = subprocess.check_output(["docker", "inspect", "-f", "{{.State.StartedAt}}", identity])
    return identity, shown.strip()


def facts(ended, step):
    return next(one for one in ended["steps"] if one["name"] == step)["facts"]


class Writers:
    """Three users who write through the app; `done` names what it said yes to."""

    def __init__(self, world):
        self._world, self.done, self._end = world, [], threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(3)]

    def __enter__(self):
        for one in self._threads:
            one.start()
        until(lambda: len(self.done) > 20, "users write")
        return self

    def __exit__(self, *_):
        self._end.set()
        for one in self._threads:
            one.join()

    def _write(self, who):
        number = 0
        while not self._end.is_set():
            number += 1
            name = f"{who}-{number}"
            body = json.dumps({"name": name, "n": name}).encode()  # n is unique
            if self._world.post("/documents", body):
                self.done.append(name)


def names(documents):
    return {one["name"] for one in documents if "name" in one}


def in_backup(found, collection):
    (path,) = found["path"].glob(f"mongodb/*/{collection}.bson.gz")
    return bson.decode_all(gzip.decompress(path.read_bytes()))


def test_live_backup_under_writers_is_of_one_cluster_time_and_stops_nobody(world):
    world.commit({"release.json": release("two")})
    slow = since_when(world, "slow")
    with Writers(world):
        ended = deploy(world)
    assert ended["status"] == "succeeded", ended
    found = fence_of(world, ended)
    assert (found["one_moment"], facts(ended, "fence")["one_moment"]) == (True, True)
    assert found["cluster_time"]
    assert ended["warnings"] == []
    assert since_when(world, "slow") == slow, "it was not stopped, not even for a moment"
    first = next(one for one in world.backups() if one["id"] == ended["backup"])
    place = "uploads/uploads/upload-4.txt"
    assert (first["path"] / place).stat().st_ino == (found["path"] / place).stat().st_ino


def test_live_sets_aside_what_was_written_after_its_last_backup(world):
    plan = world.cli_json("plan", world.name)
    assert "restore sets it aside" in plan["last_backup"]
    world.commit({"release.json": release("three", mode="exits")})
    with Writers(world) as users:
        ended = deploy(world, check=1)
    assert ended["status"] == "rolled_back", ended
    there = names(world.db.documents.find())
    aside = next(one for one in world.backups() if one["id"] == ended["safety_backup"])
    assert set(users.done) <= there | names(in_backup(aside, "documents"))
    assert names(in_backup(fence_of(world, ended), "documents")) <= there


def test_live_app_is_stopped_before_a_roll_back_puts_its_data_back(world):
    with Writers(world) as users:
        argv = ("rollback", world.name, "--data", "restore", "--yes")
        ended = world.cli_json(*argv)
    assert (ended["status"], world.version()) == ("succeeded", "one"), ended
    there = names(world.db.documents.find())
    aside = next(one for one in world.backups() if one["id"] == ended["safety_backup"])
    assert set(users.done) <= there | names(in_backup(aside, "documents"))


def test_longer_pause_than_allowed_is_refused_before_anything_stops(world):
    configure(world, 'consistency = "live"', 'consistency = "quiesce"\nmax_pause = 0.01')
    before, stopped = world.containers(), world.version()
    ended = deploy(world, check=1)
    assert ended["status"] == "failed"
    assert "fence" not in [one["name"] for one in ended["steps"]]
    assert "more than max_pause (0.01 s)" in ended["error"]["message"]
    for choice in ("Raise backup.max_pause", 'consistency = "live"'):
        assert choice in ended["error"]["remedy"]
    assert (world.containers(), world.version()) == (before, stopped)
    configure(world, "max_pause = 0.01", "max_pause = 60")


def test_pause_that_takes_longer_ends_with_the_old_containers_started_again(world):
    world.commit({"docker-compose.yml": COMPOSE + SLOW.format(5), "release.json": release("four")})
    assert deploy(world)["status"] == "succeeded"
    configure(world, "max_pause = 60", "max_pause = 4")
    world.commit({"release.json": release("five")})
    plan = world.cli_json("plan", world.name)
    assert plan["last_backup"].startswith("Of one moment: the app stands still for it, at most 4 s")
    before, version = ids(world), world.version()
    ended = deploy(world, check=1)
    assert (ended["status"], ended["error"]["step"]) == ("rolled_back", "fence"), ended
    assert "longer than the app may be stopped" in ended["error"]["message"]
    assert (ids(world), world.version()) == (before, version)
    assert {one[0] for one in world.containers().values()} == {"running"}
    assert world.policy() == "unless-stopped"
    with contextlib.suppress(StopIteration):
        raise AssertionError(next(world.checkout.glob("backups/.partial-*")))


def ids(world):
    return set(world.compose("ps", "-q").stdout.split())
