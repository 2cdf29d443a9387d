"""Uploads that a container without the mount wrote into itself: seen, copied out, kept."""

import os
import re

import pytest

from tests.e2e.test_mounts import COMPOSE, DOCKERFILE, accepted, refused
from tests.e2e.world import World, release, until

FORGOTTEN = COMPOSE.replace('    volumes: ["./uploads:/app/uploads"]\n', "")
FILL = (
    "mkdir -p /app/uploads/deep/empty; cd /app/uploads; echo one > a; echo two > deep/b;"
    " chown 1234:1234 a; chmod 640 a; ln -s /etc/passwd link; ln a hard; echo theirs > clash"
)


@pytest.fixture
def world(tmp_path, mongod):
    """An app that a person started, and in whose Compose file the mount was forgotten."""
    assert FORGOTTEN != COMPOSE
    made = World(tmp_path, mongod, health={"timeout": 100})
    made.commit({"docker-compose.yml": FORGOTTEN})
    made.prepare()
    made.compose("up", "-d", "--build")
    made.compose("exec", "-T", "web", "sh", "-c", FILL)
    made.up()
    yield made
    made.close()


def test_uploads_in_a_container_are_rescued_before_it_is_replaced(world):
    # The file was mended on the server: what else is told, `up`, would end them.
    ours = world.checkout / "docker-compose.yml"
    ours.write_text(COMPOSE)
    told = world.cli("deploy", world.name, check=1)
    assert "Uploads were written into a container itself" in told.stderr
    ours.write_text(FORGOTTEN)

    # It is mended by a push.
    (world.uploads / "clash").write_text("ours")
    slow = DOCKERFILE.replace("COPY", "RUN sleep 6\nCOPY", 1)
    mended = {"docker-compose.yml": COMPOSE, "release.json": release("two"), "Dockerfile": slow}
    ended = refused(world, mended, "pull", "/app/uploads: a, deep/b, deep/empty, hard, link.")
    command = re.search(r"`sheetanchor (rescue \S+)`", ended["error"]["remedy"])[1].split()

    clash = world.cli(*command, check=1)
    assert f"other files of these names: {world.uploads}/clash." in clash.stderr
    assert (world.uploads / "clash").read_text() == "ours"
    (world.uploads / "clash").unlink()

    command = missed_late(world, command)
    assert world.cli_json(*command)["status"] == "succeeded"

    assert world.version() == "two"
    texts = {one: (world.uploads / one).read_text() for one in ("late", "a", "hard", "deep/b")}
    assert texts == {"late": "late\n", "a": "one\n", "hard": "one\n", "deep/b": "two\n"}
    assert (world.uploads / "clash").read_text() == "theirs\n"
    status = (world.uploads / "a").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (1234, 1234, 0o640)
    assert os.readlink(world.uploads / "link") == "/etc/passwd"
    assert (world.uploads / "deep" / "empty").is_dir()
    assert not list(world.uploads.glob(".sheetanchor*"))
    kept = {entry["path"] for entry in world.backups()[-1]["files"]}
    assert {"uploads/uploads/a", "uploads/uploads/deep/b"} <= kept
    assert world.compose("exec", "-T", "web", "cat", "/app/uploads/a").stdout == "one\n"
    accepted(world, {"release.json": release("three")})


def missed_late(world, command):
    """Upload while the new version is built: refused at the fence; return the new command."""
    child = world.start(*command)
    until(lambda: is_building(world), "the build begins", 120)
    world.compose("exec", "-T", "web", "sh", "-c", "echo late > /app/uploads/late")
    child.wait(300)
    ended = newest(world)
    assert (ended["status"], ended["error"]["step"]) == ("rolled_back", "fence"), ended
    assert "below /app/uploads: late." in ended["error"]["message"]
    assert world.version() == "one"
    return re.search(r"`sheetanchor (rescue \S+)`", ended["error"]["remedy"])[1].split()


def newest(world):
    """Return the deployment whose journal is the newest."""
    journals = sorted((world.state / "apps" / world.name / "journal").glob("*.jsonl"))
    return world.deployment(journals[-1].stem)


def is_building(world):
    return any(step["name"] == "build" for step in newest(world)["steps"])
