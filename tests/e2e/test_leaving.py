"""A service that a push removes or renames: its container and data outlive a way back."""

import json
import re

import docker
import pytest

from tests.e2e.conftest import free_port
from tests.e2e.test_mounts import COMPOSE
from tests.e2e.world import World, release, until

# Both with the same name and port: the new one needs what the old one holds.
SIDE = (
    "  {service}:\n    image: sheetanchor-base:1\n    command: [sleep, infinity]\n"
    "    stop_grace_period: 0s\n    restart: always\n    container_name: {name}-side\n"
    "    ports: ['127.0.0.1:{port}:9']\n    volumes: [/precious]\n"
)
REMOVES = "COMPOSE_REMOVE_ORPHANS=true\n"  # as people write to be rid of Compose's warning


@pytest.fixture
def world(tmp_path, mongod):
    """A world without the fence's stop, in which nothing would stop the old service."""
    known = {"not_covered": ["old:/precious", "new:/precious"]}
    backup = {"consistency": "live"}
    made = World(tmp_path, mongod, health={"timeout": 100}, backup=backup, data=known)
    made.side_port = free_port()
    made.commit(with_service(made, "old"))
    made.begin()
    yield made
    made.close()


def with_service(world, service, **fields):
    side = SIDE.format(service=service, name=world.name, port=world.side_port)
    compose = {"docker-compose.yml": COMPOSE + side, ".env": REMOVES}
    return {**compose, "release.json": release(service, **fields)}


def containers(world):
    """Return what there is of each container: name -> id, status, policy, volumes."""
    client = docker.from_env()
    try:
        label = {"label": f"com.docker.compose.project={world.name}"}
        return {
            one.name: (
                one.id,
                one.status,
                one.attrs["HostConfig"]["RestartPolicy"]["Name"],
                [mount["Name"] for mount in one.attrs["Mounts"] if mount["Type"] == "volume"],
            )
            for one in client.containers.list(all=True, filters=label)
        }
    finally:
        client.close()


def approved(world, files, check):
    """Push what takes a volume away, be refused, and approve it as told."""
    ended = world.wait(world.push(files))
    assert ended["status"] == "failed", ended
    assert "service old goes, and with it an anonymous volume" in ended["error"]["message"]
    told = re.search(r"sheetanchor approve (\S+)`", ended["error"]["remedy"])[1]
    return world.cli_json("approve", told, check=check)


def test_removed_service_is_kept_until_the_commit_and_comes_back_with_its_volume(world):
    world.compose("exec", "-T", "old", "sh", "-c", "echo kept > /precious/it")
    before, there = world.fingerprint(), containers(world)
    side = f"{world.name}-side"

    bad = approved(world, with_service(world, "new", mode="exits"), check=1)

    assert bad["status"] == "rolled_back", bad
    assert world.fingerprint() == before
    assert containers(world)[side] == there[side]
    assert sorted(containers(world)) == sorted(there)
    assert world.compose("exec", "-T", "old", "cat", "/precious/it").stdout == "kept\n"

    good = approved(world, with_service(world, "new"), check=0)

    assert good["status"] == "succeeded", good
    after = containers(world)
    assert sorted(after) == sorted(there)
    assert (after[side][0] != there[side][0], after[side][1:3]) == (True, ("running", "always"))
    volume = there[side][3][0]
    assert inspect(volume)["Name"] == volume  # on disk, for a person

    dies_between_commit_and_removal(world, good["id"])
    until(lambda: "end" in events(world, good["id"]), "recovery ends it", 120)
    assert world.deployment(good["id"])["status"] == "succeeded"
    assert containers(world) == after


def inspect(volume):
    client = docker.from_env()
    try:
        return client.api.inspect_volume(volume)
    finally:
        client.close()


def events(world, identity):
    path = world.state / "apps" / world.name / "journal" / f"{identity}.jsonl"
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]


def dies_between_commit_and_removal(world, identity):
    """Put back what a process that died there leaves: a container aside, no end."""
    client = docker.from_env()
    try:
        name = f"{world.name}-side-left-by-{identity}"
        labels = {
            "com.docker.compose.project": world.name,
            "com.docker.compose.service": "old",
            "com.docker.compose.oneoff": "False",
            "com.docker.compose.project.working_dir": str(world.checkout),
        }
        client.containers.create("sheetanchor-base:1", "true", name=name, labels=labels)
    finally:
        client.close()
    path = world.state / "apps" / world.name / "journal" / f"{identity}.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    assert json.loads(lines[-1])["event"] == "end"
    path.write_text("".join(lines[:-1]))
