"""What may happen to a branch: tags of its name, force pushes, its end and a new beginning.

In a repository whose ids have 64 digits (SHA-256); all other tests have 40.
"""

import json

import pytest

from tests.e2e.test_surroundings import COMPOSE, refused
from tests.e2e.world import World, release

MOUNTED = COMPOSE + "    volumes: ['./uploads:/app/uploads']\n"
NOTHING = "0" * 64


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    """One world for all: each test goes on from what runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_DEFAULT_HASH", "sha256")
        made = World(tmp_path_factory.mktemp("world"), mongod, health={"timeout": 90})
        try:
            made.commit({"docker-compose.yml": MOUNTED})
            made.begin()
            yield made
        finally:
            made.close()


def head(world):
    return world.git("rev-parse", "HEAD")


def decisions(world):
    """Return what was decided of the last head, and what runs."""
    found = json.loads((world.state / "apps" / world.name / "decisions.json").read_text())
    return found["head"]["revision"], found["head"]["decision"], found["running"]["revision"]


def test_ill_version_is_undone_in_a_repository_of_64_digits(world):
    edited = world.checkout / "app.py"
    edited.write_text(edited.read_text() + "# edited on the server\n")
    before = world.fingerprint()
    assert len(before["head"]) == 64

    bad = world.wait(world.push({"release.json": release("bad", mode="exits")}))
    assert bad["status"] == "rolled_back", bad
    assert world.fingerprint() == before

    good = world.wait(world.push({"release.json": release("two")}))
    assert (good["status"], good["revision"]) == ("succeeded", head(world)), good
    assert world.version() == "two"
    kept = f"refs/sheetanchor/{good['id']}:app.py"
    assert "edited on the server" in world.git("show", kept, cwd=world.checkout)


def test_tag_named_like_the_branch_is_not_the_branch(world):
    """Neither for a delivery, nor for what is fetched, nor for a person who names it."""
    old = world.git("rev-parse", "HEAD~1")
    world.git("tag", "main", old)
    world.git("push", "--quiet", "origin", "refs/tags/main")
    world.git("fetch", "--quiet", "origin", "refs/tags/main:refs/tags/main", cwd=world.checkout)
    status, answer = world.deliver(old, ref="refs/tags/main")
    assert (status, answer) == (200, {"status": "ignored", "reason": "It is a tag."})

    ended = world.wait(world.push({"release.json": release("three")}))

    assert (ended["status"], ended["revision"]) == ("succeeded", head(world)), ended
    assert world.version() == "three"
    planned = world.cli_json("plan", world.name, "--revision", "main")
    assert planned["revision"] == head(world)


def test_force_push_back_to_an_older_revision_runs_that_one(world):
    first, was = head(world), world.version()
    second = world.wait(world.push({"release.json": release("four")}))
    assert second["status"] == "succeeded", second
    later = head(world)

    world.git("reset", "--quiet", "--hard", first)
    world.git("push", "--quiet", "--force", "origin", "HEAD:refs/heads/main")
    answer = world.deliver(first, before=later, forced=True)[1]
    ended = world.wait(answer["deployment"])

    assert (ended["status"], ended["revision"]) == ("succeeded", first), ended
    assert ended["previous_revision"] == later
    assert world.version() == was
    made = [b["kind"] for b in world.backups() if b["deployment"] == ended["id"]]
    assert made == ["pre-deploy", "fence"]
    assert decisions(world) == (first, "succeeded", first)

    late = world.wait(world.deliver(later, before=first)[1]["deployment"])

    assert late["status"] == "skipped", late
    assert world.version() == was


def test_deleted_branch_is_left_alone_and_a_new_one_deployed(world):
    before, was = world.fingerprint(), world.version()
    old = head(world)
    world.git("update-ref", "-d", "refs/heads/main", cwd=world.origin)
    status, answer = world.deliver(NOTHING, before=old, deleted=True, head_commit=None)
    assert (status, answer["status"], answer["reason"]) == (
        200,
        "ignored",
        "The branch was deleted.",
    )
    late = world.deliver(old)[1]["deployment"]  # of an earlier push, delivered last
    refused(world, late, "preflight", "no branch main", "Push it")
    assert (world.fingerprint(), world.version()) == (before, was)

    world.git("checkout", "--quiet", "--orphan", "anew")
    world.commit({"release.json": release("anew")})
    ended = world.wait(world.deliver(old, before=NOTHING, created=True)[1]["deployment"])

    assert (ended["status"], ended["revision"]) == ("succeeded", head(world)), ended
    assert world.version() == "anew"
    assert world.fingerprint()["uploads"] == before["uploads"]


def test_renamed_repository_is_named_and_its_new_name_helps(world):
    renamed = {"repository": {"id": 1, "full_name": "acme/store"}}
    status, answer = world.deliver(head(world), **renamed)
    assert (status, answer["status"]) == (200, "ignored")
    assert answer["reason"] == (
        "The repository is 'acme/store', not acme/shop. If it was renamed, set"
        f" apps.{world.name}.repository."
    )

    world.stop(world.server)
    world.config.write_text(world.config.read_text().replace('"acme/shop"', '"acme/store"'))
    world.up()
    revision = world.commit({"release.json": release("renamed")})
    ended = world.wait(world.deliver(revision, **renamed)[1]["deployment"])

    assert (ended["status"], world.version()) == ("succeeded", "renamed"), ended
