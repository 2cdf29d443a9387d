"""A way back that fails: what a person is told, and what `resume` does once the cause is mended."""

import socket

import pytest

from tests.e2e import checker
from tests.e2e.cells import RULES
from tests.e2e.kinds import Bad, differences
from tests.e2e.points import kill
from tests.e2e.world import release, until
from worker.ending import DEATHS

POINT = "way_back.switch.before_intent"
DEADLY = "way_back.safety.after_intent"
MOVED = "deploy.restore.after_effect"


@pytest.fixture(scope="module")
def taken():
    """The app's port, which somebody else takes while its old version is to come back."""
    with socket.socket() as somebody:
        yield somebody


def test_way_back_that_fails_is_told_with_what_to_do_and_a_push_changes_nothing(arena, taken):
    world = arena.world
    arena.before = world.fingerprint()
    arena.points.hold(POINT)
    arena.failed = Bad().begin(arena, by_hand=False)
    arena.points.wait(POINT)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", world.port))
    taken.listen()
    arena.points.release(POINT)

    ended = world.wait(arena.failed)

    assert ended["status"] == "inconsistent", ended
    command = f"`sheetanchor resume {world.name}`"
    assert command in ended["error"]["remedy"]
    assert command in world.cli_json("status", world.name)["hold"]["reason"]
    until(lambda: world.api("GET", f"/apps/{world.name}")[1]["hold"], "the API shows the hold")
    assert command in world.api("GET", f"/apps/{world.name}")[1]["hold"]["reason"]
    assert "already" in ended["error"]["message"]
    pushed = world.wait(world.push({"release.json": release("later"), "migration.py": ""}))
    assert pushed["status"] == "skipped"
    assert command in pushed["reason"]


def test_resume_while_the_cause_is_there_still_says_so(arena):
    world = arena.world

    still = world.cli("resume", world.name, check=3)

    assert f"{world.name} is still inconsistent" in still.stdout
    assert world.deployment(arena.failed)["status"] == "inconsistent"
    assert world.decisions.read()["hold"]["kind"] == "inconsistent"


def test_resume_through_the_api_finishes_the_way_back_and_then_the_head_is_deployed(arena, taken):
    world, before = arena.world, arena.before
    taken.close()
    arena.points.hold("deploy.preflight.before_intent")

    status, _ = world.api("POST", f"/apps/{world.name}/resume", {"reason": "freed the port"})

    assert status == 202
    arena.points.wait("deploy.preflight.before_intent")
    ended = world.deployment(arena.failed)
    assert ended["status"] == "rolled_back", ended
    assert list(differences(before, world.fingerprint())) == []
    decided = world.decisions.read()
    assert (decided["hold"], decided["ended"]["reason"]) == (None, "freed the port")
    arena.points.release("deploy.preflight.before_intent")
    until(lambda: world.version() == "later", "the push of meanwhile is deployed", 120)
    until(lambda: world.decisions.read()["head"]["decision"] == "succeeded", "it is committed")
    arena.check()


@pytest.fixture
def stuck(arena):
    """The app inconsistent: a way back was given up before the data was put back."""
    arena.ready()
    arena.before = arena.world.fingerprint()
    arena.points.hold(DEADLY)
    arena.failed = Bad().begin(arena, by_hand=False)
    standing = arena.stand(DEADLY)
    arena.died_before(arena.failed, times=DEATHS - 1)
    arena.kill("job", standing)
    ended = arena.world.wait(arena.failed)
    assert ended["status"] == "inconsistent", ended
    return arena


def test_restore_that_mends_and_is_killed_leaves_all_as_it_was_and_the_next_one_mends(stuck):
    world, before, lost = stuck.world, stuck.before, stuck.world.decisions.read()["hold"]["restore"]
    edited = world.checkout / "migration.py"  # differs in the two revisions
    edited.write_text("edited by hand")
    left = world.fingerprint()
    stuck.points.hold(MOVED)
    killed = stuck.by_hand("restore", world.name, lost, "--yes")
    standing = stuck.stand(MOVED)
    assert world.fingerprint()["head"] == before["head"] != left["head"]

    kill(standing)

    assert world.wait(killed)["status"] == "rolled_back"
    now = world.fingerprint()
    assert [now[part] for part in ("head", "uploads", "database")] == [
        left[part] for part in ("head", "uploads", "database")
    ]
    assert edited.read_text() == "edited by hand"
    hold = world.decisions.read()["hold"]
    assert (hold["kind"], hold["restore"]) == ("inconsistent", lost)
    assert world.version() is None

    mended = world.cli_json("restore", world.name, lost, "--yes")

    assert list(differences(before, world.fingerprint())) == []
    assert world.decisions.read()["hold"] is None
    [told] = [one for one in mended["warnings"] if "migration.py" in one]
    kept = told.split()[-1].rstrip(".")
    assert world.git("show", f"{kept}:migration.py", cwd=world.checkout) == "edited by hand"
    checker.check(world, rules=RULES, url=stuck.redis_url)


def test_resume_with_data_as_it_is_brings_the_old_version_back_on_it(stuck):
    world, before = stuck.world, stuck.before
    left = world.fingerprint()

    said = world.cli("resume", world.name, "--reason", "the data is what I want", check=0)

    assert f"Deployment {stuck.failed}: rolled_back" in said.stdout
    wanted = before | {part: left[part] for part in ("worktree", "uploads", "database")}
    assert list(differences(wanted, world.fingerprint(), marked=True, images=True)) == []
    assert world.decisions.read()["hold"] is None
    assert world.policy() == "unless-stopped"
    checker.check(world, rules=RULES, url=stuck.redis_url)
