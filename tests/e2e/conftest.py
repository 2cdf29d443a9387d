"""A whole world for one test: GitHub's side, a server, an app, its data; all real."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from pymongo import MongoClient

from tests.e2e.killing import Arena
from tests.e2e.world import World

BRIDGE = "172.17.0.1"


def program(name, variable, cached):
    given = os.environ.get(variable) or shutil.which(name) or str(Path.home() / cached)
    assert Path(given).exists(), f"{name} is missing: run deploy/provision"
    return given


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Mongod:
    """A mongod of our own on loopback and the Docker bridge, as on a user's host."""

    def __init__(self, home, *options):
        self.port = free_port()
        home.mkdir(parents=True, exist_ok=True)
        mongod = program("mongod", "SHEETANCHOR_MONGOD", ".cache/sheetanchor/mongod/bin/mongod")
        argv = [mongod, "--dbpath", str(home), "--port", str(self.port), "--quiet"]
        argv += ["--bind_ip", f"127.0.0.1,{BRIDGE}", "--wiredTigerCacheSizeGB", "0.5", *options]
        argv += ["--setParameter", "diagnosticDataCollectionEnabled=false"]  # idle, it cost most
        self.argv = argv
        self.start()
        self.client = MongoClient("127.0.0.1", self.port, directConnection=True)
        self.client.admin.command("ping")

    def start(self):
        self.process = subprocess.Popen(self.argv, stdout=subprocess.DEVNULL)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def close(self):
        self.client.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def mongod(tmp_path_factory):
    server = Mongod(tmp_path_factory.mktemp("mongod"))
    yield server
    server.close()


@pytest.fixture
def world(tmp_path, mongod, request):
    """A world whose app is not deployed yet; `world.begin()` deploys the first version."""
    options = getattr(request, "param", {})
    made = World(tmp_path, mongod, **options)
    yield made
    made.close()
    if hasattr(request.node, "failed") and request.node.failed:
        made.tell()


@pytest.fixture
def running(world):
    """A world with the server up and version one deployed, with documents and uploads."""
    world.begin()
    return world


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call" and outcome.get_result().failed:
        world = item.funcargs.get("world")
        if world:
            world.tell()


@pytest.fixture(scope="module")
def arena(tmp_path_factory, mongod):
    """A module's world of kills, up with two versions deployed."""
    made = Arena(tmp_path_factory.mktemp("arena"), mongod)
    try:
        made.begin()
        yield made
    finally:
        made.world.tell()
        made.close()
