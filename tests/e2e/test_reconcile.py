"""Heads that no delivery told of, decided heads and held ones; by real pushes in one world."""

import json
import os
import signal
import socket
import time
from datetime import UTC, datetime

import pytest

from tests.e2e.test_bad_push import UNCHECKED
from tests.e2e.test_holds import lose_redis
from tests.e2e.world import HERE, World, release, until

SLOW = "FROM sheetanchor-base:1\nRUN sleep 8; echo {}\nCOPY app.py release.json /app/\n"
BROKEN = {"Dockerfile": "FROM sheetanchor-base:1\nRUN exit 3\n"}
HANGS = 40  # seconds; a look gives a remote 60
START = 'CMD ["python3", "/app/app.py"]\n'


@pytest.fixture(scope="module")
def shared(tmp_path_factory, mongod):
    made = World(tmp_path_factory.mktemp("reconcile"), mongod, health={"timeout": 90})
    made.commit({"docker-compose.yml": UNCHECKED})  # its URL is asked; that is enough here
    made.begin()
    yield made
    made.close()


@pytest.fixture
def world(shared):
    return shared


def good(version):
    return {
        "Dockerfile": (HERE / "app" / "Dockerfile").read_text(),
        "release.json": release(version),
    }


def journals(world):
    return sorted(path.stem for path in (world.state / "apps" / world.name / "journal").iterdir())


def looked(world):
    """Lose all of Redis, so that the worker looks at the remote; return when it has looked."""
    lose_redis(world)
    log = sorted(world.home.glob("up-*.log"), key=os.path.getmtime)[-1]
    before = log.read_text().count('"remote.looked"')
    until(lambda: log.read_text().count('"remote.looked"') > before, "the worker has looked", 120)


def test_push_whose_delivery_was_lost_with_all_of_redis_is_deployed(world):
    known = journals(world)
    world.commit({"release.json": release("lost")})

    lose_redis(world)

    until(lambda: world.version() == "lost", "the lost push runs", 120)
    new = until(lambda: sorted(set(journals(world)) - set(known)), "its journal")
    (found,) = [world.wait(one) for one in new]
    assert (found["status"], found["trigger"]) == ("succeeded", "reconcile")
    shown = world.api("GET", f"/apps/{world.name}/deployments")[1]["deployments"]
    assert {*known, *new} <= {one["id"] for one in shown}  # the ledger is whole again


def test_broken_build_makes_one_backup_and_is_not_tried_again(world):
    backups, version = len(world.backups()), world.version()
    broken = world.wait(world.push(BROKEN))
    assert broken["status"] == "failed"
    known = journals(world)

    looked(world)
    again = world.wait(world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"])

    assert again["status"] == "skipped"
    assert f"was decided by {broken['id']}: failed" in again["reason"]
    assert set(journals(world)) == {*known, again["id"]}
    assert len(world.backups()) == backups + 1
    assert world.version() == version


def test_older_body_and_the_same_with_a_new_guid_deploy_nothing(world):
    older = world.git("rev-parse", "HEAD")
    done = world.wait(world.push(good("good")))
    assert done["status"] == "succeeded", done

    for revision in (older, done["revision"]):
        again = world.wait(world.deliver(revision)[1]["deployment"])
        assert again["status"] == "skipped"
        assert f"was decided by {done['id']}: succeeded" in again["reason"]
    assert world.version() == "good"


def stays(world, version, word):
    """Redeliver, lose all of Redis, restart: none may bring the head back; a reason says why."""
    known = journals(world)
    again = world.wait(world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"])
    lose_redis(world)
    world.stop(world.server)
    world.up()
    log = sorted(world.home.glob("up-*.log"), key=os.path.getmtime)[-1]
    until(lambda: '"remote.looked"' in log.read_text(), "the new worker has looked", 120)

    assert (again["status"], word in again["reason"]) == ("skipped", True), again
    assert set(journals(world)) == {*known, again["id"]}
    assert world.version() == version


def test_stop_pin_and_rollback_stay_in_force_until_a_newer_head(world):
    one = world.wait(world.push(good("one-more")))
    two = world.wait(world.push(good("two")))
    assert (one["status"], two["status"]) == ("succeeded", "succeeded"), (one, two)

    world.cli("stop", world.name, check=0)
    stays(world, None, "stopped")
    world.cli("start", world.name, check=0)
    world.cli("deploy", world.name, "--revision", one["revision"], check=0)
    stays(world, "one-more", "pinned")
    world.cli("rollback", world.name, "--to", two["id"], check=0)
    stays(world, "two", "rolled_back")

    newer = world.wait(world.push(good("newer")))
    assert newer["status"] == "succeeded"
    assert world.decisions.read()["hold"] is None


def test_what_a_person_ran_by_hand_is_not_taken_for_what_was_deployed_last(world):
    done = world.wait(world.push(good("recorded")))
    bad = world.wait(world.push(BROKEN))
    assert (done["status"], bad["status"]) == ("succeeded", "failed"), done
    (world.checkout / "release.json").write_text(release("by-hand"))
    world.compose("up", "-d", "--build")
    until(lambda: world.version() == "by-hand", "the person's image runs")
    world.git("reset", "--quiet", "--hard", done["revision"])
    world.git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{world.branch}")

    back = world.wait(world.deliver(done["revision"])[1]["deployment"])

    assert back["status"] == "succeeded", back
    assert world.version() == "recorded"


def test_branch_that_goes_back_to_what_runs_is_skipped_and_forth_is_tried(world):
    done, bad = world.wait(world.push(good("stays"))), world.wait(world.push(BROKEN))
    broken = world.git("rev-parse", "HEAD")
    assert (done["status"], bad["status"]) == ("succeeded", "failed"), done

    ended = []
    for head in (done["revision"], broken):
        world.git("push", "--quiet", "--force", "origin", f"{head}:{world.branch}")
        ended.append(world.wait(world.deliver(head)[1]["deployment"]))

    assert [one["status"] for one in ended] == ["skipped", "failed"]
    assert "runs already" in ended[0]["reason"]


def test_remote_that_hangs_holds_up_neither_a_person_nor_a_stop(tmp_path, mongod):
    with socket.create_server(("127.0.0.1", 0)) as remote:
        url = f"git://127.0.0.1:{remote.getsockname()[1]}/shop"
        world = World(tmp_path, mongod, app={"clone_url": url})
        try:
            world.prepare()
            world.up()
            remote.settimeout(60)
            asking, _ = remote.accept()  # the look at the worker's start; it gets no answer

            world.cli("freeze", world.name, check=0)
            begun = time.monotonic()
            world.stop(world.server, seconds=120)

            assert time.monotonic() - begun < HANGS
            asking.close()
        finally:
            world.close()


def job_of(world, identity):
    path = world.state / "apps" / world.name / "journal" / f"{identity}.jsonl"
    return json.loads(path.read_text().splitlines()[-1])["pid"]


def test_head_whose_process_died_is_tried_again_by_itself_and_not_for_ever(world):
    slow = {"Dockerfile": SLOW.format("killed") + START, "release.json": release("killed")}
    killed = world.push(slow)
    world.wait_for_step(killed, "build")
    os.kill(job_of(world, killed), signal.SIGKILL)
    assert world.wait(killed)["status"] == "failed"
    put_off = until(lambda: world.decisions.read()["put_off"], "it is put off")
    assert (put_off["deaths"], put_off["deployment"]) == (1, killed)
    known = journals(world)

    world.stop(world.server)
    until_now(world, deaths=3)
    world.up()

    again = until(lambda: sorted(set(journals(world)) - set(known)), "it is tried again", 120)[0]
    world.wait_for_step(again, "build")
    os.kill(job_of(world, again), signal.SIGKILL)
    world.wait(again)
    decided = until(lambda: world.decisions.read()["head"], "it is decided")
    assert (decided["decision"], decided["deployment"]) == ("failed", again)
    assert "tried 4 times" in decided["reason"]


def until_now(world, **changes):
    """Let a pause be over."""
    put_off = world.decisions.read()["put_off"]
    now = datetime.now(UTC).isoformat()
    world.decisions.write(put_off={**put_off, "until": now, **changes})
