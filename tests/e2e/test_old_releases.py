"""What ran before a push, as servers have it: whatever it is, a bad push gives it back.

One app for the module; each test goes on from whatever version runs.
"""

import contextlib

import docker
import pytest

from tests.e2e.world import World, release


@pytest.fixture(scope="module")
def shared(tmp_path_factory, mongod):
    made = World(tmp_path_factory.mktemp("world"), mongod)
    made.begin()
    yield made
    made.close()


@pytest.fixture
def world(shared):
    return shared


def goes_back(world):
    """Push a version that exits: all must be as it was, and the same version answer."""
    before, version = world.fingerprint(), world.version()
    ended = world.wait(world.push({"release.json": release("bad", mode="exits")}))
    assert ended["status"] == "rolled_back", ended["error"]
    assert world.fingerprint() == before
    assert world.version() == version


def succeeds(world, version):
    ended = world.wait(world.push({"release.json": release(version)}))
    assert ended["status"] == "succeeded", ended["error"]
    assert world.version() == version
    return ended


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_edited_env_file_stays_and_the_old_release_keeps_its_old_values(world):
    old = world.environment()["MONGODB_URI"]
    edit(world.checkout / ".env.production", old, f"{old}?appName=edited")

    goes_back(world)

    assert world.environment()["MONGODB_URI"] == old
    succeeds(world, "with the edited file")
    assert world.environment()["MONGODB_URI"] == f"{old}?appName=edited"


def test_what_was_brought_up_by_hand_since_is_what_comes_back(world):
    uri = world.environment()["MONGODB_URI"]
    by_hand = f"{uri}{'&' if '?' in uri else '?'}retryWrites=false"
    edit(world.checkout / ".env.production", uri, by_hand)
    world.compose("up", "-d", "--wait")

    goes_back(world)

    assert world.environment()["MONGODB_URI"] == by_hand


def mine(world):
    """Return short id and message of the commit that a person's branch points to."""
    return world.git("log", "-1", "--format=%h %s", "main", cwd=world.checkout)


def test_revision_that_was_checked_out_and_built_by_hand_comes_back(world):
    """And so does the branch that the person left, with a commit that was made here."""
    world.git("commit", "--quiet", "--allow-empty", "-m", "Mine", cwd=world.checkout)
    left = mine(world)
    (world.clone / "release.json").write_text(release("built by hand"))
    world.git("commit", "--quiet", "--all", "-m", "not pushed yet")
    other = world.git("rev-parse", "HEAD")
    world.git("fetch", "--quiet", str(world.clone), world.branch, cwd=world.checkout)
    world.git("checkout", "--quiet", "--detach", other, cwd=world.checkout)
    world.compose("up", "-d", "--build", "--wait")
    assert world.version() == "built by hand"

    goes_back(world)

    assert world.git("rev-parse", "HEAD", cwd=world.checkout) == other
    assert (mine(world), left[-5:]) == (left, " Mine")


def test_image_that_was_built_by_hand_from_edited_files_comes_back(world):
    (world.checkout / "release.json").write_text(release("edited on the server"))
    world.compose("up", "-d", "--build", "--wait")
    assert world.version() == "edited on the server"
    (world.checkout / "release.json").write_text(release("built, and never started"))
    world.compose("build")

    goes_back(world)

    assert world.version() == "edited on the server"
    left, good = mine(world), succeeds(world, "after edits")
    kept = f"refs/sheetanchor/{good['id']}"
    assert good["warnings"] == [
        f"Commits of the branch {left} were set aside as {kept}-branch.",
        f"Local changes to release.json were set aside as {kept}.",
    ]
    shown = world.git("log", "-1", "--format=%h %s", f"{kept}-branch", cwd=world.checkout)
    assert shown == left


def test_pre_stop_hooks_are_run_before_a_container_is_stopped(world):
    """What one writes is in the fence's backup; the new version's fails, and holds nothing up."""
    plain = (world.clone / "docker-compose.yml").read_text()
    hook = "    pre_stop: [{{command: [sh, -c, '{}']}}]\n"
    flush = {"docker-compose.yml": plain + hook.format("echo kept >/app/uploads/flushed")}
    assert world.wait(world.push(flush))["status"] == "succeeded"
    flushed = world.uploads / "flushed"
    assert not flushed.exists()

    bad = {"docker-compose.yml": plain + hook.format("exit 7")}
    ended = world.wait(world.push({**bad, "release.json": release("bad", mode="never_healthy")}))

    assert ended["status"] == "rolled_back", ended["error"]
    assert flushed.read_text() == "kept\n"
    fence = next(one for one in reversed(world.backups()) if one["kind"] == "fence")
    assert "uploads/uploads/flushed" in [one["path"] for one in fence["files"]]
    flushed.unlink()
    world.cli("restart", world.name, check=0)
    assert flushed.read_text() == "kept\n"
    flushed.unlink()
    world.commit({"docker-compose.yml": plain})
    succeeds(world, "without hooks")


def forget(world, *beginnings):
    """Remove the app's tags that begin so, as `docker image prune -a` or a person does."""
    client = docker.from_env()
    try:
        tags = [tag for image in client.api.images() for tag in image["RepoTags"] or ()]
        mine = [tag for tag in tags if tag.startswith(beginnings)]
        for tag in mine:
            with contextlib.suppress(docker.errors.ImageNotFound):  # tidied away meanwhile
                client.images.remove(tag, force=True, noprune=True)
        return mine
    finally:
        client.close()


def test_pins_that_somebody_removed_are_not_needed(world):
    assert forget(world, f"sheetanchor/{world.name}:")

    goes_back(world)


def test_app_whose_containers_and_images_were_pruned_is_deployed_anew(world):
    data = world.fingerprint()
    world.compose("stop")
    world.compose("rm", "--force")
    assert forget(world, f"sheetanchor/{world.name}:", f"{world.name}-")
    gone = world.fingerprint()
    assert gone["containers"] == {}

    ended = world.wait(world.push({"release.json": release("bad", mode="exits")}))

    assert ended["status"] == "rolled_back", ended["error"]
    assert world.fingerprint() == gone
    succeeds(world, "anew")
    now = world.fingerprint()
    assert (now["database"], now["uploads"]) == (data["database"], data["uploads"])
