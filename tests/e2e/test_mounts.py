"""What a push must not do to mounts; after each refusal its remedy, to the letter."""

import re
import shutil
import subprocess

import pytest

from tests.e2e.test_surroundings import names
from tests.e2e.world import HERE, World, release

# Docker's own health check gives a busy machine 2 s; the URL's limit is the world's.
COMPOSE = (HERE / "app" / "docker-compose.yml").read_text().partition("    healthcheck")[0]
DOCKERFILE = (HERE / "app" / "Dockerfile").read_text()
SIDE = (
    "  {name}:\n    image: sheetanchor-base:1\n    command: [sleep, infinity]\n"
    "    stop_grace_period: 0s\n    restart: always\n    volumes: {volumes}\n"
)


def compose(*mounts, side="", top=""):
    """Return the app's Compose file with more mounts, another service, and top-level words."""
    listed = ", ".join(f'"{one}"' for one in ("./uploads:/app/uploads", *mounts))
    return COMPOSE.replace('"./uploads:/app/uploads"', listed) + side + top


def side(name, *mounts):
    return SIDE.format(name=name, volumes=str(list(mounts)))


def refused(world, files, step, *words):
    """Push files: `failed` before the fence, all these words said, and nothing changed."""
    before, images, ids = world.fingerprint(), names(world), by_name(world, "ps", "-aq")
    ended = world.wait(world.push(files))
    error = ended["error"] or {"step": None, "message": "", "remedy": ""}
    assert (ended["status"], error["step"]) == ("failed", step), ended
    said = f"{error['message']}\n{error['remedy']}"
    assert [word for word in words if word not in said] == [], said
    assert by_name(world, "ps", "-aq") == ids
    assert world.fingerprint() == before
    assert names(world) == images
    return ended


def accepted(world, files):
    ended = world.wait(world.push(files))
    assert ended["status"] == "succeeded", ended
    return ended


def not_covered_as_told(world, remedy):
    """Write the line of a remedy into the configuration."""
    line = re.search(r"not_covered = \[.*?\]", remedy)[0]
    text = re.sub(r"not_covered = .*\n", "", world.config.read_text())
    world.config.write_text(text.replace('uploads = ["uploads"]', f'uploads = ["uploads"]\n{line}'))


def by_name(world, *argv):
    """Run Compose on the app's project, whatever its Compose file calls it."""
    return world.compose("-p", world.name, *argv).stdout


def inside(world, service, *argv):
    return by_name(world, "exec", "-T", service, *argv)


@pytest.fixture
def world(tmp_path, mongod):
    made = World(tmp_path, mongod, health={"timeout": 100})
    made.commit({"docker-compose.yml": COMPOSE})
    yield made
    made.close()


def test_what_nothing_covers_is_refused_until_a_person_names_it(world):
    the_first_deployment_is_refused(world)
    world.begin()
    (world.checkout / "files").mkdir()
    covered = ["./app.py:/app/mine.txt", "./uploads/folder:/app/folder", "./release.json:/r:ro"]
    more = compose("cache:/app/cache", "./files:/app/files", *covered, top="volumes: {cache: }\n")

    ended = refused(
        world,
        {"docker-compose.yml": more},
        "pull",
        f"web:/app/cache, which is the volume {world.name}_cache; web:/app/files, which is",
        f"[apps.{world.name}.data]",
    )
    assert not [one for one in covered if one.split(":")[1] in ended["error"]["message"]]
    not_covered_as_told(world, ended["error"]["remedy"])
    accepted(world, {"release.json": release("two")})

    # What only an image declares is known once it is built, before anything is stopped.
    declared = DOCKERFILE + "VOLUME /app/scratch\n"
    ended = refused(
        world, {"Dockerfile": declared}, "build", "web:/app/scratch, which is an anonymous volume"
    )
    not_covered_as_told(world, ended["error"]["remedy"])
    accepted(world, {"release.json": release("three")})
    inside(world, "web", "sh", "-c", "echo kept | tee /app/cache/it /app/scratch/it /app/files/it")

    # Gone, moved, or another volume's: not without a person who says so.
    gone = compose(*covered, "other:/app/cache", top="volumes: {other: }\n")
    plain = {"docker-compose.yml": f"name: elsewhere\n{gone}", "Dockerfile": DOCKERFILE}
    ended = refused(
        world,
        plain,
        "pull",
        f"service web has the volume {world.name}_cache at /app/cache, then mounts the volume"
        f" {world.name}_other there",
        "service web has ",
        "/files at /app/files, then mounts nothing there",
        "sheetanchor approve",
    )
    assert ended["steps"][-1]["facts"]["lost_data"]  # by which the API knows what to approve
    ended = refused(
        world,
        {"docker-compose.yml": more, "Dockerfile": DOCKERFILE},
        "build",
        "service web has an anonymous volume at /app/scratch, then mounts nothing there",
    )
    accepted(world, {"Dockerfile": declared, "release.json": release("four")})
    assert inside(world, "web", "cat", "/app/cache/it", "/app/scratch/it") == "kept\nkept\n"

    # The uploads themselves stay mounted, and a part of them would be out of sight, or lost.
    memory = compose(*covered, "cache:/app/cache", top="volumes: {cache: }\n").replace(
        "    volumes:", "    tmpfs: [/app/uploads/folder]\n    volumes:"
    )
    ended = refused(
        world,
        {"docker-compose.yml": memory},
        "pull",
        "service web has ",
        "/uploads/folder at /app/uploads/folder, then memory over it",
    )

    ended = refused(world, plain, "pull", "at /app/cache, then mounts the volume")
    approved = world.cli("--json", "approve", ended["id"])
    assert '"step": "build"' in approved.stdout, approved  # where the anonymous one shows
    again = re.search(r"sheetanchor approve (\S+?)`", approved.stdout)[1]
    assert world.cli_json("approve", again)["status"] == "succeeded"
    assert volumes(world, "cache") == f"{world.name}_cache\n"
    what_a_removed_container_mounted_is_known(world, plain["docker-compose.yml"])


def what_a_removed_container_mounted_is_known(world, compose_file):
    """Also under which project's name, whatever `name:` its Compose file has since."""
    inside(world, "web", "sh", "-c", "echo kept > /app/cache/it")
    by_name(world, "rm", "--stop", "--force")
    words = (
        f"service web has the volume {world.name}_other at /app/cache, then mounts the volume"
        f" {world.name}_third there"
    )
    refused(world, {"docker-compose.yml": compose_file.replace("other", "third")}, "pull", words)
    accepted(world, {"docker-compose.yml": compose_file})
    assert inside(world, "web", "cat", "/app/cache/it") == "kept\n"


def volumes(world, name):
    argv = ["docker", "volume", "ls", "-q", "--filter", f"name={world.name}_{name}"]
    return subprocess.run(argv, check=True, text=True, capture_output=True).stdout


def the_first_deployment_is_refused(world):
    """Deploy what nothing covers where nothing ever ran; it leaves nothing behind."""
    world.commit({"docker-compose.yml": compose("cache:/app/cache", top="volumes: {cache: }\n")})
    world.prepare()
    told = world.cli("deploy", world.name, check=1)
    assert f"web:/app/cache, which is the volume {world.name}_cache." in told.stderr
    assert (world.containers(), names(world), volumes(world, "cache")) == ({}, {}, "")
    shutil.rmtree(world.checkout)
    world.commit({"docker-compose.yml": COMPOSE})
