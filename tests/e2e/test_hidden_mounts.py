"""Mounts that do not show where one looks for them; a world for all, each after its remedy."""

import re

import docker
import pytest

from tests.e2e.test_checkout_guards import refused_unchanged
from tests.e2e.test_mounts import (
    COMPOSE,
    accepted,
    compose,
    inside,
    not_covered_as_told,
    side,
)
from tests.e2e.world import World, release


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    made = World(tmp_path_factory.mktemp("hidden"), mongod, health={"timeout": 100})
    made.commit({"docker-compose.yml": COMPOSE})
    try:
        made.begin()
        yield made
    finally:
        made.tell()
        made.close()


def in_disguise(world, folder, name):
    """Return a Compose file whose uploads are a volume that only binds a folder."""
    options = f"{{type: none, o: bind, device: '{world.checkout / folder}'}}"
    top = f"volumes: {{{name}: {{driver_opts: {options}}}}}\n"
    return COMPOSE.replace('"./uploads:', f'"{name}:') + top


def approved(world, files, *words):
    """Push files; they must be refused with these words, and deployed once approved as told."""
    ended = refused_unchanged(world, files, "pull", *words)
    told = re.search(r"`sheetanchor (approve \S+?)`", ended["error"]["remedy"])[1].split()
    assert world.cli_json(*told)["status"] == "succeeded"


def test_uploads_in_a_volume_that_binds_another_folder_are_refused_and_their_own_is_taken(world):
    (world.checkout / "files").mkdir()
    two = {"docker-compose.yml": in_disguise(world, "files", "hidden")}

    ended = refused_unchanged(
        world,
        two,
        "pull",
        f"service web has it at /app/uploads, and in the revision {world.checkout}/files",
    )

    assert "Keep the mount in the Compose file" in ended["error"]["remedy"]
    named = in_disguise(world, "uploads", "shown")
    approved(world, {"docker-compose.yml": named, "release.json": release("two")}, "volume shown")
    assert inside(world, "web", "cat", "/app/uploads/upload-2.txt") == "upload 2"
    accepted(world, {"docker-compose.yml": COMPOSE, "release.json": release("three")})


def test_volumes_of_another_container_are_judged_like_its_own(world):
    elsewhere, name = world.home / "elsewhere", f"{world.name}-stranger"
    elsewhere.mkdir()
    borrower = side("side").replace("volumes: []", f"volumes_from: ['container:{name}', web]")
    files = {"docker-compose.yml": compose(side=borrower)}
    refused_unchanged(world, files, "pull", f"the container {name}, which is not there")
    client = docker.from_env()
    stranger = client.containers.create(
        "sheetanchor-base:1", "true", name=name, volumes=[f"{elsewhere}:/theirs"]
    )
    try:
        ended = refused_unchanged(world, {}, "pull", f"mounts all volumes of container:{name}")
        told = re.search(r"`sheetanchor (approve \S+?)`", ended["error"]["remedy"])[1].split()
        again = world.cli_json(*told, check=1)
        assert f"side:/theirs, which is {elsewhere}." in again["error"]["message"]
        not_covered_as_told(world, again["error"]["remedy"])
        assert world.cli_json("deploy", world.name)["status"] == "succeeded"
        inside(world, "side", "sh", "-c", "cat /app/uploads/upload-2.txt > /theirs/it")
        bad = world.wait(world.push({"release.json": release("bad", mode="exits")}))
        assert bad["status"] == "rolled_back", bad

        plain = {"docker-compose.yml": compose(side=side("side")), "release.json": release("four")}
        approved(world, plain, f"service side has {elsewhere} at /theirs, then mounts nothing")
    finally:
        stranger.remove(force=True)
        client.close()
    assert (elsewhere / "it").read_text() == "upload 2"


def with_cache(service):
    known = side(service, "cache:/cache")
    return {"docker-compose.yml": compose(side=known, top="volumes: {cache: }\n")}


def test_renamed_service_keeps_its_named_volume_and_comes_back_under_its_own_name(world):
    ended = refused_unchanged(world, with_cache("old"), "pull", "old:/cache, which is the volume")
    not_covered_as_told(world, ended["error"]["remedy"])
    assert world.cli_json("deploy", world.name)["status"] == "succeeded"
    inside(world, "old", "sh", "-c", "echo kept > /cache/it")
    before = world.fingerprint()
    ended = refused_unchanged(world, with_cache("new"), "pull", "new:/cache, which is the volume")
    not_covered_as_told(world, ended["error"]["remedy"])

    bad = world.wait(world.push({"release.json": release("bad", mode="exits")}))

    assert bad["status"] == "rolled_back", bad
    assert world.fingerprint() == before
    assert inside(world, "old", "cat", "/cache/it") == "kept\n"
    good = accepted(world, {"release.json": release("good")})
    assert set(world.containers()) == {"web-1", "new-1"}, good
    assert inside(world, "new", "cat", "/cache/it") == "kept\n"
