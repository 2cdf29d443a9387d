"""What a revision's files, and the checkout's own state, may not cost a person.

Each guard by a real push that changes nothing, and a second one after its remedy.
"""

import subprocess

import pytest

from tests.e2e.test_surroundings import refused_and_unchanged
from tests.e2e.world import World, release


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    """One world for all: what is refused leaves it as it was, what succeeds is gone on from."""
    made = World(tmp_path_factory.mktemp("world"), mongod)
    made.begin()
    yield made
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


def command_in(remedy):
    """Return the command that a remedy says to run."""
    return remedy.partition("run `")[2].partition("`")[0].split()


def test_lock_of_a_persons_git_is_refused_and_its_remedy_helps(world):
    lock = world.checkout / ".git" / "index.lock"
    lock.touch()
    two = {"release.json": release("two")}

    ended = refused_and_unchanged(world, two, "preflight", str(lock), "was killed")

    assert lock.exists()
    subprocess.run(command_in(ended["error"]["remedy"]), check=True)
    succeeds(world, {"app.py": (world.clone / "app.py").read_text() + "# three\n"})
    assert world.version() == "two"
