"""The checker of what is left on a server finds each thing that it is there for."""

import contextlib
import os
import re
import subprocess
import sys

import docker
import pytest

from tests.deployments import asked_for
from tests.e2e import checker, fingerprint
from tests.e2e.killing import SECRET
from tests.e2e.world import World, until
from worker import configfile, lock
from worker.clock import SystemClock
from worker.journal import Journal
from worker.ledger import Ledger
from worker.state import State


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    """A world at rest: a checkout, the app's folders, and the journal of what has ended."""
    made = World(tmp_path_factory.mktemp("rest"), mongod)
    made.prepare()
    with (made.checkout / ".env.production").open("a") as env:
        env.write(f"API_KEY={SECRET}\n")
    config = configfile.load(made.config)
    made.files = State.of(config, config.apps[made.name])
    journal = Journal.begin(made.files.journals, asked_for(app=made.name), SystemClock())
    journal.append("after", "end", "end", {"status": "skipped", "error": None})
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr(checker, "PATIENCE", 0.0)


def found(world, url=None):
    """Return what the checker has to say; empty when all is at rest."""
    try:
        checker.check(world, rules=(), url=url)
    except AssertionError as error:
        return str(error)
    return ""


def test_world_at_rest_is_passed(world, redis, redis_url):
    [record] = checker.read(world)
    journal = Journal(world.files.journals / f"{record}.jsonl", SystemClock())
    ledger, deployment = Ledger(redis), journal.deployment()
    ledger.publish(checker.view(deployment, journal.records()), deployment)
    (world.files.releases / "r").mkdir(mode=0o700)
    (world.files.releases / "r" / "model.json").touch(0o600)
    (world.files.releases / "r" / "model.json").write_text(SECRET)  # its place

    assert found(world, redis_url) == ""

    redis.flushall()
    assert "the ledger has None" in found(world, redis_url)


PLACES = {
    "a work folder": "state/apps/{app}/work/left",
    "a scratch file": "state/apps/{app}/scratch/left",
    "a half-written file": "state/apps/{app}/.decisions.json.partial",
    "a half-made backup": "{app}/backups/.partial-20261122_143000",
    "a staged upload": "{app}/uploads/.sheetanchor-restore",
    "a lock of Git": "{app}/.git/refs/heads/main.lock",
    "an index": "{app}/.git/sheetanchor-index-left",
    "a mark of a move": "{app}/.git/sheetanchor-moving",
}


@pytest.mark.parametrize("what", PLACES)
def test_what_a_step_left_is_found(world, what):
    path = world.home / PLACES[what].format(app=world.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    try:
        assert f"{path} is left" in found(world)
    finally:
        path.unlink()


def test_staged_collection_is_found(world):
    name = f"{checker.OURS}left"
    world.db.create_collection(name)
    try:
        assert f"the collection {name} is left" in found(world)
    finally:
        world.db.drop_collection(name)


@pytest.mark.parametrize("place", ["file", "git"])
def test_lock_that_is_held_is_found(world, place):
    path = world.files.lock if place == "file" else world.checkout / ".git"
    path.touch()

    with lock.held(path, world.name):
        assert f"{path} is locked" in found(world)


def test_container_that_compose_did_not_finish_is_found(world):
    name = f"0123456789ab_{world.name}-web-1"
    client = docker.from_env()
    try:
        labels = {fingerprint.PROJECT: world.name}
        client.api.create_container("sheetanchor-base:1", ["none"], name=name, labels=labels)
        assert f"the container {name} is left" in found(world)
    finally:
        client.api.remove_container(name)
        client.close()


@contextlib.contextmanager
def running(*more, **env):
    """A process with these arguments and variables."""
    argv = [sys.executable, "-c", "print(flush=True); input()", *more]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(argv, env=os.environ | env, **pipes) as child:
        child.stdout.readline()
        try:
            yield child.pid
        finally:
            child.kill()


def test_process_that_still_works_for_a_deployment_is_found(world):
    [identity] = checker.read(world)

    with running(**{checker.MARK: identity}) as pid:
        assert f"processes [{pid}] work for {identity}" in found(world)


def test_file_that_others_may_read_is_found(world):
    path = world.files.home / "decisions.json"
    path.touch()
    path.chmod(0o604)
    try:
        assert f"{path} has the mode 604" in found(world)
    finally:
        path.unlink()


SECRET_IN = {
    "a log of the deployment": "state/apps/{app}/logs/d.log",
    "a program's output": "worker-1.log",
    "Redis": "appendonlydir/appendonly.aof.1.incr.aof",
    "a manifest": "{app}/backups/20261122_143000/manifest.txt",
}


@pytest.mark.parametrize("what", SECRET_IN)
def test_secret_in_a_file_is_found(world, what):
    path = world.home / SECRET_IN[what].format(app=world.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    path.write_text(f"… {SECRET} …")
    try:
        assert f"a secret stands in {path}" in found(world)
    finally:
        path.unlink()


def test_secret_on_a_command_line_is_found(world):
    with running(SECRET) as pid:
        told = until(lambda: found(world), "it is found")

    assert re.search(rf"a secret stands on the command line of process {pid}\b", told)
