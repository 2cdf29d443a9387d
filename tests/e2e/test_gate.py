"""`[apps.X.gate]`: a push that is not worth a deployment, judged against what runs."""

import pytest

from tests.e2e.world import World, release

GATE = {"gate.paths": ["*.json", "app.py", "src/**/*.py"], "gate.skip_words": ["[skip deploy]"]}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, mongod):
    made = World(tmp_path_factory.mktemp("gate"), mongod, app=GATE)
    made.begin()
    yield made
    made.close()


@pytest.fixture
def world(shared):
    return shared


def code(version):
    return {"release.json": release(version)}


def ended(world, files, message="change"):
    return world.wait(world.push(files, message))


def test_push_that_matches_no_path_is_skipped_and_decided(world):
    backups, before = len(world.backups()), world.fingerprint()

    first = ended(world, {"docs/a.md": "a", "docs/release.json": "{}"})
    again = world.wait(world.deliver(first_head := world.git("rev-parse", "HEAD"))[1]["deployment"])

    assert (first["status"], again["status"]) == ("skipped", "skipped")
    assert "matches gate.paths (*.json, app.py, src/**/*.py)" in first["reason"]
    assert f"Head {first_head[:12]} was decided by {first['id']}: skipped" in again["reason"]
    assert len(world.backups()) == backups
    assert world.fingerprint() == before


def test_code_that_did_not_run_yet_is_deployed_with_a_later_push_of_documents(world):
    world.commit(code("with-documents"), "its delivery is lost")

    assert ended(world, {"docs/b.md": "b"})["status"] == "succeeded"
    assert world.version() == "with-documents"


def test_words_skip_only_when_each_undeployed_commit_has_one(world):
    skipped = ended(world, code("words-one"), "Tidy up\n\nNot yet. [skip deploy]")
    assert skipped["status"] == "skipped"
    assert "Each of the 1 commits since" in skipped["reason"]
    assert ended(world, code("words-two"), "[skip deploy] More")["status"] == "skipped"

    assert ended(world, code("words-three"), "Now")["status"] == "succeeded"
    assert world.version() == "words-three"


@pytest.mark.parametrize("force", [False, True])
def test_person_is_never_kept_out(world, force):
    assert ended(world, code(f"person-{force}"), "[skip deploy]")["status"] == "skipped"

    done = world.cli_json("deploy", world.name, *(["--force"] if force else []))

    assert done["status"] == "succeeded"
    assert world.version() == f"person-{force}"
