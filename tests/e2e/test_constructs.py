"""Compose as people write it, judged against a bare `docker compose up` of the same revision."""

import os
import re
import subprocess

import pytest

from tests.e2e import bare, fingerprint
from tests.e2e.construct_files import COMPOSE_FILES, INSIDE, files, untracked
from tests.e2e.registry import registry
from tests.e2e.world import World, free_port, until
from worker.adapters.compose_command import binary


class Shop:
    """A world of many constructs: version one deployed, then two, then a bad three undone."""

    def __init__(self, world, images):
        self.world, self.images = world, images
        self.prefix = f"p{world.name}"
        self.project, self.bare_project = f"{self.prefix}-shop", f"b{world.name}"
        self.bare, self.bare_port = world.home / "elsewhere", free_port()
        self.tiny = f"{images.address}/tiny:stable"

    def write_env(self, folder, **values):
        mine = folder == self.world.checkout
        untracked(
            folder,
            MONGODB_URI=self.world.uri,
            PREFIX=self.prefix if mine else self.bare_project,
            PORT=self.world.port if mine else self.bare_port,
            TINY=self.tiny,
            **values,
        )

    def first(self):
        world = self.world
        self.images.offer("stable", "one")
        known = 'uploads = ["uploads"]\nnot_covered = ["web:/kept", "web:/scratch"]'
        text = world.config.read_text().replace('uploads = ["uploads"]', known)
        world.config.write_text(text)
        world.commit(files("one"))
        world.prepare()
        self.write_env(world.checkout)
        world.up()
        self.one = world.wait(world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"])
        assert self.one["status"] == "succeeded", self.one

    def second(self):
        self.images.offer("stable", "two")
        self.write_env(self.world.checkout, word="other", secret="changed$$ value")
        self.two = self.world.wait(self.world.push(files("two")))
        assert self.two["status"] == "succeeded", self.two
        self.deployed = self.view(self.project)

    def by_hand(self):
        """Ask Compose, in the checkout, what an `up` of a person would do."""
        argv = ["--dry-run", "up", "-d", "--no-build"]
        self.said = self.compose(self.world.checkout, self.project, *argv)

    def bare_up(self):
        """Bring the same revision up in another folder, by hand."""
        world = self.world
        world.git("clone", "--quiet", str(world.origin), str(self.bare), cwd=world.home)
        self.write_env(self.bare, word="other", secret="changed$$ value")
        self.compose(self.bare, self.bare_project, "up", "-d", "--build")
        until(lambda: "starting" not in str(self.view(self.bare_project)), "all are healthy")
        self.expected = self.view(self.bare_project)
        fingerprint.remove(self.bare_project)

    def compose(self, folder, project, *argv):
        files = [part for name in COMPOSE_FILES for part in ("-f", name)]
        argv = [binary(), "-p", project, "--env-file", ".env.production", *files, *argv]
        env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "COMPOSE_BAKE": "false"}
        done = subprocess.run(
            argv, cwd=folder, env=env, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def bad(self):
        self.images.offer("stable", "three")
        self.before = self.view(self.project), self.world.fingerprint()
        self.three = self.world.wait(self.world.push(files("three", replicas=1, mode="exits")))
        self.after = self.view(self.project), self.world.fingerprint()

    def view(self, project):
        world = self.world
        replaced = {
            self.bare_project: "PREFIX",
            self.project: "PREFIX",
            self.prefix: "PREFIX",
            str(self.bare): "FOLDER",
            str(world.checkout): "FOLDER",
            str(world.port): "PORT",
            str(self.bare_port): "PORT",
        }
        return bare.view(project, INSIDE, replaced)

    def close(self):
        for project in (self.project, self.bare_project):
            fingerprint.remove(project)


@pytest.fixture(scope="module")
def shop(tmp_path_factory, mongod):
    with registry() as images:
        home = tmp_path_factory.mktemp("shop")
        app = {"compose_files": COMPOSE_FILES, "pull_images": True}
        # Without the stop before it, `up` meets running containers: the harder case.
        world = World(home, mongod, app=app, backup={"consistency": "live"})
        made = Shop(world, images)
        try:
            made.first()
            made.second()
            made.by_hand()
            made.bare_up()
            made.bad()
            yield made
        finally:
            world.tell()
            world.close()
            made.close()


def test_each_construct_is_deployed_as_a_bare_up_would(shop):
    assert bare.differences(shop.deployed, shop.expected) == []


def test_compose_up_by_hand_would_recreate_nothing(shop):
    assert shop.said.count("Running") == 7
    assert not re.search("Creat|Recreat", shop.said), shop.said


def test_each_construct_is_rolled_back(shop):
    assert shop.three["status"] == "rolled_back", shop.three
    assert shop.after[1] == shop.before[1]
    assert bare.differences(shop.after[0], shop.before[0]) == []
