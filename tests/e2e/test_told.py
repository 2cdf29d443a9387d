"""What is not refused, but told: with the deployment and before it, by `plan`."""

import shutil

import pytest

from tests.e2e.world import World, release

CLEANER = "#!/bin/sh\nls -dt backups/*/ | tail -n +8 | xargs rm -rf\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    made = World(tmp_path_factory.mktemp("world"), mongod, health={"timeout": 90})
    made.commit({"uploads/sample.txt": "tracked", "manage": CLEANER})
    made.begin()
    yield made
    made.close()


def deployed(world, files):
    ended = world.wait(world.push(files))
    assert (ended["status"], ended["error"]) == ("succeeded", None), ended
    return ended["warnings"]


def test_tracked_uploads_other_cleaners_and_vanished_backups_are_told_until_mended(world):
    oldest = world.backups()[0]["path"]
    shutil.rmtree(oldest)
    world.commit({"release.json": release("two")})
    planned = world.cli_json("plan", world.name)["warnings"]

    told = deployed(world, {"release.json": release("two again")})

    assert planned == told
    cleaner, vanished, context = told
    assert f"{world.checkout}/manage, line 2: ls -dt backups/*/ | tail" in cleaner
    assert f"vanished from {world.checkout}/backups" in vanished
    assert oldest.name in vanished
    assert "The build of web gets uploads: uploads/sample.txt." in context
    mended = {"manage": "#!/bin/sh\n", ".dockerignore": "uploads\n", "release.json": release("3")}
    deployed(world, mended)  # the script is in the checkout until the new version is there
    assert world.cli_json("plan", world.name, "--no-pull")["warnings"] == []
