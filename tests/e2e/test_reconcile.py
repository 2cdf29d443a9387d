"""Heads that no delivery told of, decided heads and held ones; by real pushes in one world."""

import json
import os
import signal
from datetime import UTC, datetime

import pytest

from tests.e2e.test_holds import lose_redis
from tests.e2e.world import World, release, until

SLOW = "FROM sheetanchor-base:1\nRUN sleep 8; echo {}\nCOPY app.py release.json /app/\n"
START = 'CMD ["python3", "/app/app.py"]\n'


@pytest.fixture(scope="module")
def shared(tmp_path_factory, mongod):
    made = World(tmp_path_factory.mktemp("reconcile"), mongod)
    made.begin()
    yield made
    made.close()


@pytest.fixture
def world(shared):
    return shared


def journals(world):
    return sorted(path.stem for path in (world.state / "apps" / world.name / "journal").iterdir())


def looked(world):
    """Lose all of Redis, so that the worker looks at the remote; return when it has looked."""
    lose_redis(world)
    log = sorted(world.home.glob("up-*.log"))[-1]
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
    head = {"Dockerfile": "FROM sheetanchor-base:1\nRUN exit 3\n"}
    broken = world.wait(world.push(head))
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
    older = world.git("rev-parse", "HEAD~1")
    good = world.wait(
        world.push(
            {
                "Dockerfile": SLOW.format("good") + START,
                "release.json": release("good"),
            }
        )
    )
    assert good["status"] == "succeeded"

    for revision in (older, good["revision"]):
        again = world.wait(world.deliver(revision)[1]["deployment"])
        assert again["status"] == "skipped"
        assert f"was decided by {good['id']}: succeeded" in again["reason"]
    assert world.version() == "good"


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
