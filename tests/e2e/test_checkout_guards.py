"""What a revision's files, and the checkout's own state, may not cost a person.

Each guard by a real push that changes nothing, and a second one after its remedy.
"""

import re
import shutil
import subprocess

import pytest

from tests.e2e.test_surroundings import COMPOSE, refused_and_unchanged
from tests.e2e.world import World, release

MOUNTED = COMPOSE + "    volumes: ['./uploads:/app/uploads']\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    """One world for all: what is refused leaves it as it was, what succeeds is gone on from."""
    made = World(tmp_path_factory.mktemp("world"), mongod, health={"timeout": 90})
    try:
        made.commit({"docker-compose.yml": MOUNTED})
        made.begin()
        yield made
    finally:
        made.close()


def succeeds(world, files):
    """Push files; they must be deployed, and leave the data and the env file as they were."""
    before = world.fingerprint()
    ended = world.wait(world.push(files))
    assert ended["status"] == "succeeded", ended
    assert world.git("rev-parse", "HEAD", cwd=world.checkout) == ended["revision"]
    after = world.fingerprint()
    assert [before[key] for key in ("env", "uploads", "database")] == [
        after[key] for key in ("env", "uploads", "database")
    ]
    return ended


def command_in(remedy, begin):
    """Return the command of a remedy that begins with these words."""
    return re.search(f"`({re.escape(begin)}[^`]*)`", remedy)[1].split()


def test_lock_of_a_persons_git_is_refused_and_its_remedy_helps(world):
    lock = world.checkout / ".git" / "index.lock"
    lock.touch()
    two = {"release.json": release("two")}

    ended = refused_and_unchanged(world, two, "preflight", str(lock), "was killed")

    assert lock.exists()
    subprocess.run(command_in(ended["error"]["remedy"], "rm "), check=True)
    succeeds(world, {"app.py": (world.clone / "app.py").read_text() + "# three\n"})
    assert world.version() == "two"


def test_submodule_is_refused_and_its_files_are_taken(world):
    world.git("init", "--quiet", str(world.clone / "theme"))
    (world.clone / "theme" / "style.css").write_text("a {}")
    world.git("add", "--all", cwd=world.clone / "theme")
    world.git("commit", "--quiet", "-m", "theme", cwd=world.clone / "theme")

    ended = refused_and_unchanged(world, {}, "pull", "submodules", "theme")

    remedy = ended["error"]["remedy"]
    world.git(*command_in(remedy, "git rm")[1:])
    assert "remove theme/.git" in remedy
    shutil.rmtree(world.clone / "theme" / ".git")
    world.git(*command_in(remedy, "git add")[1:])
    succeeds(world, {})
    assert (world.checkout / "theme" / "style.css").read_text() == "a {}"


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"


def test_lfs_pointers_are_refused_and_the_files_themselves_are_taken(world):
    """Raw files, and pointers that no attribute hands to LFS, are just files."""
    files = {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"}
    files |= {"big.bin": POINTER, "raw.bin": "raw", "pointer.txt": POINTER}

    ended = refused_and_unchanged(world, files, "pull", "big.bin in Git LFS")

    assert not {"raw.bin", "pointer.txt"} & {*re.split(r"[\s,]+", ended["error"]["message"])}
    assert (
        "Take them out of .gitattributes, add the files themselves, and push"
        in (ended["error"]["remedy"])
    )
    succeeds(world, {".gitattributes": None, "big.bin": "the file itself"})
    assert (world.checkout / "big.bin").read_text() == "the file itself"


def test_lfs_pointers_that_a_person_does_without_are_deployed(world):
    files = {".gitattributes": "*.psd filter=lfs -text\n", "art/logo.psd": POINTER}
    ended = refused_and_unchanged(world, files, "pull", "art/logo.psd")

    run = ended["error"]["remedy"].partition("run `")[2].partition("`")[0]
    subprocess.run(run, shell=True, check=True)

    succeeds(world, {"more.txt": "more"})
