"""What a look at the remote brings, and what a way back gives back; one world for all."""

import os
import re
import subprocess
import sys

import pytest

from tests.e2e.test_holds import lose_redis
from tests.e2e.test_mounts import compose
from tests.e2e.world import HERE, TOP, World, release, until

DOCKERFILE = (HERE / "app" / "Dockerfile").read_text()
BROKEN = {"Dockerfile": "FROM sheetanchor-base:1\nRUN exit 3\n"}
SLOW = {"Dockerfile": DOCKERFILE.replace("COPY", "RUN sleep 60\nCOPY", 1)}
GATE = {"gate.paths": ["*.json", "Dockerfile", "*.yml"], "gate.skip_words": ["[skip deploy]"]}
SIDE = (
    "  side:\n    image: sheetanchor-base:1\n    command: [sleep, infinity]\n"
    "    stop_grace_period: 0s\n    scale: {count}\n    volumes: {volumes}\n"
)


def files(count=2, volumes="[/precious]"):
    """Return the app's files; what it reads at its start is mounted from the checkout."""
    mounted = "./release.json:/app/release.json:ro"
    side = SIDE.format(count=count, volumes=volumes)
    return {"docker-compose.yml": compose(mounted, side=side), "Dockerfile": DOCKERFILE}


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    data = {"not_covered": ["side:/precious"]}
    home = tmp_path_factory.mktemp("runs")
    made = World(home, mongod, health={"timeout": 100}, app=GATE, data=data)
    made.commit(files())
    try:
        made.begin()
        yield made
    finally:
        made.tell()
        made.close()


def journals(world):
    return {path.stem for path in (world.state / "apps" / world.name / "journal").iterdir()}


def looked(world):
    """Lose all of Redis, look at the remote as a worker does; return the new deployments."""
    known = journals(world)
    lose_redis(world)
    argv = [sys.executable, "-m", "worker.reconcile", world.name]
    env = {**os.environ, "SHEETANCHOR_CONFIG": str(world.config)}

    def look():
        return subprocess.run(argv, cwd=TOP, env=env, check=False).returncode == 0

    until(look, "the app was free, and looked at", 120)
    return [world.wait(one) for one in sorted(journals(world) - known)]


def in_side(world, index, *argv):
    return world.compose("exec", "-T", "--index", str(index), "side", *argv).stdout


def test_way_back_gives_each_container_its_anonymous_volume_back(world):
    """One is gone with the scale, and the other was made anew without its volume."""
    for index in (1, 2):
        in_side(world, index, "sh", "-c", f"echo {index} > /precious/it")
    before = world.fingerprint()
    bad = {**files(1, "[]"), "release.json": release("bad", mode="exits")}
    refused = world.wait(world.push(bad))
    told = re.search(r"`sheetanchor (approve \S+?)`", refused["error"]["remedy"])[1].split()

    ended = world.cli_json(*told, check=1)

    assert ended["status"] == "rolled_back", ended
    assert ended["reason"] == f"approved the lost mounts of {refused['id']}"
    assert world.fingerprint() == before
    assert [in_side(world, index, "cat", "/precious/it") for index in (1, 2)] == ["1\n", "2\n"]


def test_head_that_was_decided_is_not_brought_by_a_look_that_lost_redis(world):
    fine = {**files(), "release.json": release("fine")}
    done = world.wait(world.push(fine))
    assert done["status"] == "succeeded", done
    for changed, message, status in (
        ({"release.json": release("words")}, "note [skip deploy]", "skipped"),
        ({**fine, "docs.md": "more"}, "docs", "skipped"),
        (SLOW, "slow", "cancelled"),
        (BROKEN, "broken", "failed"),
        ({**fine, "release.json": release("bad", mode="exits")}, "bad", "rolled_back"),
    ):
        identity = world.push(changed, message)
        if status == "cancelled":
            world.wait_for_step(identity, "build")
            world.cli("cancel", identity, check=0)
        ended = world.wait(identity)
        assert ended["status"] == status, ended
        assert looked(world) == [], message
    assert world.version() == "fine"


def test_person_who_runs_another_checkout_does_not_pass_for_what_was_deployed_last(world):
    """Neither hash nor image tells: the container mounts the file that was checked out."""
    one, version = world.git("rev-parse", "HEAD", cwd=world.checkout), world.version()
    two = world.wait(world.push({**files(), "release.json": release("two")}))
    assert two["status"] == "succeeded", two
    world.wait(world.push(BROKEN))
    world.git("checkout", "--quiet", "--detach", one, cwd=world.checkout)
    world.compose("up", "-d", "--force-recreate", "web")
    until(lambda: world.version() == version, "what the person checked out runs")
    world.git("push", "--quiet", "--force", "origin", f"{two['revision']}:{world.branch}")

    (ended,) = looked(world)

    assert ended["status"] == "succeeded", ended
    assert world.version() == "two"
    world.git("push", "--quiet", "--force", "origin", f"HEAD:{world.branch}")
    assert [ended["status"] for ended in looked(world)] == ["failed"]
    world.git("push", "--quiet", "--force", "origin", f"{two['revision']}:{world.branch}")
    assert [ended["status"] for ended in looked(world)] == ["skipped"]
    assert looked(world) == []
