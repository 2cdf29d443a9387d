"""The database that the running release writes to is the one that is backed up, or nothing is."""

import os
import re
import shlex
import subprocess

import pytest

from tests.e2e.conftest import free_port
from tests.e2e.world import World, release
from worker.adapters.compose_command import binary

VARIABLE = "MONGODB_URI: ${MONGODB_URI}"


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    """One world for all: what is refused leaves it as it was."""
    made = World(tmp_path_factory.mktemp("world"), mongod, health={"timeout": 90})
    made.begin()
    yield made
    mongod.client.drop_database(f"{made.name}_new")
    made.close()


def write_address(world, uri):
    (world.checkout / ".env.production").write_text(f"MONGODB_URI={uri}\nPORT={world.port}\n")


def refused(world, files, step):
    """Push; the push must be refused and leave everything as it was. Return the error."""
    before, backups, version = world.fingerprint(), len(world.backups()), world.version()
    ended = world.wait(world.push(files))
    assert (ended["status"], (ended["error"] or {}).get("step")) == ("failed", step), ended
    assert world.fingerprint() == before
    assert world.version() == version
    assert step == "pull" or len(world.backups()) == backups
    return ended["error"]


def succeeds(world, version):
    ended = world.wait(world.push({"release.json": release(version)}))
    assert (ended["status"], ended["error"]) == ("succeeded", None), ended
    assert world.version() == version


def run(command):
    """Do what a remedy says, to the letter."""
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    argv = [binary(), *shlex.split(command)[2:]]
    subprocess.run(argv, check=True, cwd="/", env=env, capture_output=True)


def test_an_address_changed_before_a_push_is_refused_until_data_and_release_agree(world):
    old, new = world.uri, f"{world.uri}_new"
    write_address(world, new)

    error = refused(world, {"release.json": release("two")}, "preflight")

    assert f"this host:{world.mongod.port}/{world.name}," in error["message"]
    assert f"this host:{world.mongod.port}/{world.name}_new" in error["message"]
    for command in (["backup", world.name], ["restore", world.name, "--yes"]):
        assert "names the database" in world.cli(*command, check=1).stderr

    write_address(world, old)  # one half of the remedy
    succeeds(world, "three")

    write_address(world, new)  # and the other: the data is moved, and the app with it
    error = refused(world, {"release.json": release("four")}, "preflight")
    (command,) = re.findall(r"`(docker compose [^`]*)`", error["remedy"])
    world.mongod.client[f"{world.name}_new"].documents.insert_one({"moved": True})
    run(command)
    succeeds(world, "five")
    newest = world.backups()[-1]
    assert newest["databases"][f"{world.name}_new"]["documents"]["documents"] == 1
    world.db = world.mongod.client[f"{world.name}_new"]


def test_a_revision_that_takes_the_app_to_another_database_is_refused(world):
    text = (world.clone / "docker-compose.yml").read_text()
    moved = text.replace(VARIABLE, f"{VARIABLE}er")

    error = refused(world, {"docker-compose.yml": moved}, "pull")

    assert f"{world.db.name}er;" in error["message"]
    world.commit({"docker-compose.yml": text})
    succeeds(world, "six")


def test_the_same_database_by_another_name_of_this_host_is_not_refused(world):
    write_address(world, f"mongodb://172.17.0.1:{world.mongod.port}/{world.db.name}")
    world.commit({"release.json": release("seven")})

    assert world.cli_json("plan", world.name)["verdict"] == "deploys"


# What a MongoDB within the project is to a deployment: a server that ends with its container.
PROXY = """
import asyncio

async def pass_on(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()

async def answer(reader, writer):
    theirs = await asyncio.open_connection("host.docker.internal", {port})
    await asyncio.gather(pass_on(reader, theirs[1]), pass_on(theirs[0], writer))

async def main():
    await (await asyncio.start_server(answer, "0.0.0.0", 27017)).serve_forever()

asyncio.run(main())
"""
SERVICE = """  db:
    image: sheetanchor-base:1
    command: [python3, /proxy.py]
    stop_grace_period: 0s
    extra_hosts: ["host.docker.internal:host-gateway"]
    ports: ["127.0.0.1:{port}:27017", "172.17.0.1:{port}:27017"]
    volumes: [./proxy.py:/proxy.py:ro]
"""


def test_mongodb_within_the_project_is_refused_before_it_is_stopped(world):
    succeeds(world, "eight")
    port, folder, file = free_port(), world.home / "db", world.checkout / "docker-compose.yml"
    own, proxy = SERVICE.format(port=port), PROXY.format(port=world.mongod.port)
    file.write_text(file.read_text() + own)
    (world.checkout / "proxy.py").write_text(proxy)
    write_address(world, f"mongodb://host.docker.internal:{port}/{world.db.name}")
    world.compose("up", "-d", "--wait")

    error = refused(world, {"release.json": release("nine")}, "preflight")

    assert f"MongoDB at this host:{port} is container {world.name}-db-1" in error["message"]
    folder.mkdir()
    (folder / "docker-compose.yml").write_text(f"name: {world.name}db\nservices:\n{own}")
    (folder / "proxy.py").write_text(proxy)
    argv = shlex.split(re.search("`(docker rm [^`]*)`", error["remedy"])[1])
    subprocess.run(argv, check=True, capture_output=True)
    by_hand = [binary(), "-f", str(folder / "docker-compose.yml")]
    try:
        subprocess.run([*by_hand, "up", "-d"], check=True, capture_output=True)
        succeeds(world, "ten")  # whose Compose file is without it
    finally:
        subprocess.run([*by_hand, "down"], check=True, capture_output=True)
