"""Who else has a claim on the app: another folder, another app, another deployer, a person."""

import os
import re
import shlex
import signal
import subprocess

import docker
import pytest

from tests.e2e import fingerprint
from tests.e2e.world import World, release, until
from worker.adapters.compose_command import binary

SLEEPER = (
    "services:\n  x:\n    image: sheetanchor-base:1\n    command: sleep infinity\n"
    "    stop_grace_period: 0s\n"
)
ENV = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    """A world whose project's name another folder has taken already."""
    made = World(tmp_path_factory.mktemp("world"), mongod, health={"timeout": 90})
    made.prepare()
    made.up()
    yield made
    made.close()
    fingerprint.remove(f"{made.name}-own")


def refused(world, step, *words):
    ended = world.wait(world.push({"release.json": release("refused")}))
    error = ended["error"] or {"step": None, "message": ""}
    assert (ended["status"], error["step"]) == ("failed", step), ended
    assert [word for word in words if word not in error["message"]] == [], error
    return error


def succeeds(world, version):
    ended = world.wait(world.push({"release.json": release(version)}))
    assert (ended["status"], ended["error"]) == ("succeeded", None), ended
    assert world.version() == version


def configure(world, text):
    """Write the configuration anew; jobs read it, so the server need not start again."""
    before = world.config.read_text()
    world.config.write_text(text)
    return before


def started(folder, project):
    """Bring a project up from a folder of somebody else's; return its containers' ids."""
    folder.mkdir()
    (folder / "docker-compose.yml").write_text(SLEEPER)
    subprocess.run([binary(), "-p", project, "up", "-d"], cwd=folder, env=ENV, check=True)
    return running(project)


def running(project):
    client = docker.from_env()
    try:
        found = client.containers.list(filters={"label": f"com.docker.compose.project={project}"})
        return sorted(one.id for one in found)
    finally:
        client.close()


def test_a_project_that_another_folder_owns_is_left_alone(world):
    elsewhere = world.home / "elsewhere"
    theirs = started(elsewhere, world.name)

    error = refused(world, "preflight", f"the project {world.name}", str(elsewhere))

    assert running(world.name) == theirs
    (line,) = re.findall(r'`(project = "[^"]+")`', error["remedy"])
    head = f"[apps.{world.name}]\n"
    configure(world, world.config.read_text().replace(head, f"{head}{line}\n"))
    succeeds(world, "one")
    assert running(world.name) == theirs
    world.fill()


def test_another_apps_database_is_refused_however_its_server_is_called(world):
    other = world.home / "other.uri"
    other.write_text(f"mongodb://172.17.0.1:{world.mongod.port}/{world.name}\n")
    table = (
        f'[apps.other]\nrepository = "acme/other"\ncheckout = "{world.home}/other"\n'
        f'webhook_secret_file = "{world.home}/secret"\n[apps.other.data]\nmongodb = "{other}"\n'
    )
    alone = configure(world, world.config.read_text() + table)
    before = fingerprint.database(world.db), running(f"{world.name}-own")

    refused(world, "preflight", f"apps.{world.name}.data.mongodb", "apps.other.data.mongodb")

    assert (fingerprint.database(world.db), running(f"{world.name}-own")) == before
    other.write_text(f"mongodb://172.17.0.1:{world.mongod.port}/a_database_of_its_own\n")
    succeeds(world, "two")
    configure(world, alone)


def test_a_persons_compose_and_another_deployer_are_waited_for(world):
    """A foreground `up` refuses the push, decides nothing; a second deployer finds it busy."""
    argv = [binary(), "-p", f"{world.name}-own", "--env-file", ".env.production", "up"]
    with (world.home / "up-by-hand.log").open("w") as log:
        person = subprocess.Popen(
            [*argv, "--no-recreate"], cwd=world.checkout, env=ENV, stdout=log, stderr=log
        )
    world.processes.append(person)
    until((world.home / "up-by-hand.log").read_text, "the person's `up` is attached")

    error = refused(world, "preflight", f"docker compose up (process {person.pid}) was at work")

    person.send_signal(signal.SIGKILL)  # a terminal that is closed: the app goes on running
    person.wait()
    (command,) = re.findall(r"`(docker compose [^`]*)`", error["remedy"])
    subprocess.run([binary(), *shlex.split(command)[2:]], env=ENV, check=True)

    again = world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"]
    world.wait_for_step(again, "preflight")
    second = world.home / "second.toml"
    second.write_text(world.config.read_text().replace(str(world.state), f"{world.home}/state-2"))
    asked = world.cli("--config", str(second), "deploy", world.name, check=4)
    assert f"Another deployment of {world.name} is running" in asked.stderr
    ended = world.wait(again)
    assert (ended["status"], ended["error"]) == ("succeeded", None), ended
