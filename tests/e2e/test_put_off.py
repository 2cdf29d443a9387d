"""What is missing or full in the middle of a deployment decides nothing; the old version serves.

All in one world; once what was missing is there, the same head is deployed.
"""

import errno
import subprocess
from datetime import UTC, datetime

import pytest

from tests.e2e.conftest import Mongod
from tests.e2e.registry import registry
from tests.e2e.test_mounts import DOCKERFILE, accepted, compose
from tests.e2e.world import SOME_TIME, World, free_port, release, until

SMALL = "215m"  # preflight wants 200 MiB free beside the backups
SIDE = (
    "  side:\n    image: {image}\n    command: [/bin/busybox, sleep, '999']\n"
    "    stop_grace_period: 0s\n"
)
WAITS = """
import time
while not (uploads / "go").exists():
    db.command("ping")
    time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home, disk = tmp_path_factory.mktemp("off"), tmp_path_factory.mktemp("disk")
    own_mongod = Mongod(tmp_path_factory.mktemp("own"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", disk], check=True)
    made = World(home, own_mongod, health={"timeout": 60}, backup={"dir": str(disk / "backups")})
    made.disk = disk
    try:
        made.commit({"docker-compose.yml": compose()})
        made.begin()
        yield made
    finally:
        made.tell()
        made.close()
        own_mongod.close()
        subprocess.run(["umount", disk], check=True)


def not_decided(world, identity, status, step, words):
    """Wait for a deployment's end: put off, for as long as this test takes, and not decided."""
    ended = world.wait(identity)
    assert (ended["status"], ended["error"]["step"]) == (status, step), ended
    assert words in f"{ended['error']['message']} {ended['error']['remedy']}", ended
    decided = world.decisions.read()
    assert decided["put_off"]["deployment"] == identity
    assert decided["head"]["deployment"] != identity
    later = (datetime.now(UTC) + SOME_TIME).isoformat()
    world.decisions.write(put_off={**decided["put_off"], "until": later})
    return ended


def delivered_again(world):
    """Return how the same head ends once what was missing is there."""
    return world.wait(world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"])


def test_registry_that_is_down_is_waited_for_and_a_tag_that_it_has_not_is_a_decision(world):
    port, before = free_port(), world.fingerprint()
    image = f"127.0.0.1:{port}/tiny:{{}}"
    wanted = {"docker-compose.yml": compose(side=SIDE.format(image=image.format("missing")))}

    identity = world.push(wanted)

    not_decided(world, identity, "failed", "build", "connection refused")
    based = {"docker-compose.yml": compose(), "Dockerfile": f"FROM {image.format('stable')}\n"}
    identity = world.push(based)
    not_decided(world, identity, "failed", "build", "connection refused")
    assert world.fingerprint() == before
    world.git("reset", "--hard", "--quiet", "HEAD~1")
    head = world.commit({"more.txt": "more"})
    with registry(port) as there:
        there.offer("stable", "one")
        ended = world.wait(world.deliver(head)[1]["deployment"])
        assert (ended["status"], ended["error"]["step"]) == ("failed", "build"), ended
        assert world.decisions.read()["head"]["deployment"] == ended["id"]
        assert delivered_again(world)["status"] == "skipped"
        right = compose(side=SIDE.format(image=image.format("stable")))
        accepted(world, {"docker-compose.yml": right})
    accepted(world, {"docker-compose.yml": compose()})


def test_mongodb_that_is_killed_during_health_decides_nothing(world):
    """Its own counts are wrong from then on: no collection has shrunk for that (seen)."""
    version, before = world.version(), world.fingerprint()
    identity = world.push({"migration.py": WAITS, "release.json": release("waits")})
    world.wait_for_step(identity, "health")

    world.mongod.process.kill()

    world.wait_for_step(identity, "halt", "way_back")
    world.mongod.process.wait()
    world.mongod.start()
    not_decided(world, identity, "rolled_back", "health", "MongoDB could not")
    assert (world.version(), world.fingerprint()) == (version, before)
    (world.uploads / "go").touch()
    again = delivered_again(world)
    assert again["status"] == "succeeded", again
    assert world.version() == "waits"


def fill(path):
    """Leave not one byte free beside a file."""
    try:
        with path.open("wb", buffering=0) as file:
            while file.write(bytes(2**20)):
                pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def listed(world):
    return {one["id"] for one in world.cli_json("backups", world.name)["backups"]}


def test_disk_that_is_full_at_the_fence_leaves_the_old_version_and_no_half_backup(world):
    version, before, there = world.version(), world.fingerprint(), listed(world)
    slow = DOCKERFILE.replace("COPY", "RUN sleep 8\nCOPY", 1)
    identity = world.push({"Dockerfile": slow, "release.json": release("full")})
    world.wait_for_step(identity, "build")
    filler = world.disk / "filler"

    fill(filler)

    ended = not_decided(world, identity, "rolled_back", "fence", "Free some space")
    until(lambda: world.version() == version, "the old version serves")
    assert world.fingerprint() == before
    assert listed(world) <= {*there, ended["backup"]}, "nothing half made is listed"
    assert not list((world.disk / "backups").glob(".partial*"))
    identity = world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"]
    not_decided(world, identity, "failed", "preflight", "Free some space")

    filler.unlink()

    again = delivered_again(world)
    assert again["status"] == "succeeded", again
    assert world.version() == "full"
