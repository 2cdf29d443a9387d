"""A person cancels: before the fence nothing is changed, after it nobody is told so."""

import os
import signal

import pytest

from tests.e2e.patient import patient_world
from tests.e2e.test_kill import process_of
from tests.e2e.world import release, until

LONG = "FROM sheetanchor-base:1\nRUN sleep {}\nCOPY app.py release.json /app/\n"
START = 'CMD ["python3", "/app/app.py"]\n'


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    """One app for all: what is cancelled leaves it as it was."""
    made = patient_world(tmp_path_factory.mktemp("cancel"), mongod)
    try:
        made.prepare()
        made.first = made.cli_json("deploy", made.name)
        made.fill()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def served(world):
    world.up()
    return world


def long_build(world, seconds):
    """Return files whose build sleeps so many seconds, which names its process."""
    return {"Dockerfile": LONG.format(seconds) + START}


def is_building(world, seconds):
    until(lambda: world.pids(f"sleep\0{seconds}"), "the build sleeps")


def is_undone(world, ended, before, seconds):
    assert ended["status"] == "cancelled", ended
    assert "cancelled it at" in ended["error"]["message"]
    assert [(one["name"], one["phase"]) for one in ended["steps"]][-2:] == [
        ("build", "deploy"),
        ("tags", "way_back"),
    ]
    assert world.fingerprint() == before
    until(lambda: not world.pids(f"sleep\0{seconds}"), "the build itself has ended")


def is_skipped(world, head):
    """The head is not deployed when GitHub delivers it once more."""
    again = world.wait(world.deliver(head)[1]["deployment"])
    assert again["status"] == "skipped", again
    assert "cancelled" in again["reason"]


def test_command_line_cancels_another_ones_build_without_redis(world):
    before = world.fingerprint()
    world.commit(long_build(world, 3601))
    deploying = world.start("deploy", world.name)
    is_building(world, 3601)
    identity = world.cli_json("history", world.name)["deployments"][0]["id"]

    ended = world.cli_json("cancel", identity, "--reason", "wrong branch")

    assert deploying.wait(60) == 1
    is_undone(world, ended, before, 3601)
    assert ended == world.deployment(identity)
    assert "wrong branch" in ended["error"]["message"]
    assert world.cli_json("cancel", identity)["status"] == "cancelled"  # it is, so 0
    head = world.cli_json("status", world.name)["head"]
    assert (head["decision"], head["deployment"]) == ("cancelled", identity)
    assert world.cli("cancel", world.first["id"]).returncode == 2
    assert world.cli("cancel", "20261122t143000-000000").returncode == 2


def test_running_and_queued_ones_are_cancelled_and_their_head_stays_away(served):
    world, before = served, served.fingerprint()
    running = world.push(long_build(world, 3602))
    is_building(world, 3602)
    queued = world.push({"release.json": release("two")})
    head = world.git("rev-parse", "HEAD")

    waits = world.cli_json("cancel", queued)
    assert waits["status"] == "queued"  # behind the other one
    answer = world.api("POST", f"/deployments/{running}/cancel", {"reason": "too long"})

    assert (answer[0], answer[1]["status"]) == (202, "accepted")
    is_undone(world, world.wait(running), before, 3602)
    ended = world.wait(queued)
    assert (ended["status"], ended["steps"]) == ("cancelled", [])
    until(lambda: world.api("GET", f"/deployments/{queued}")[1]["status"] == "cancelled", "seen")
    is_skipped(world, head)
    assert world.api("POST", f"/deployments/{queued}/cancel")[0] == 200
    assert world.fingerprint() == before


def test_killed_right_after_the_request_it_is_cancelled_all_the_same(served):
    world, before = served, served.fingerprint()
    identity = world.push(long_build(world, 3603))
    is_building(world, 3603)
    job = process_of(world, identity)
    os.kill(job, signal.SIGSTOP)

    assert world.api("POST", f"/deployments/{identity}/cancel", {})[0] == 202
    os.kill(job, signal.SIGKILL)

    is_undone(world, world.wait(identity), before, 3603)
    is_skipped(world, world.git("rev-parse", "HEAD"))


def test_after_the_fence_it_is_refused_and_goes_on(served):
    world = served
    identity = world.push({"release.json": release("two"), "Dockerfile": LONG.format(0) + START})
    world.wait_for_step(identity, "fence")
    job = process_of(world, identity)
    os.kill(job, signal.SIGSTOP)

    refused = world.cli("cancel", identity)
    status, problem = world.api("POST", f"/deployments/{identity}/cancel", {})
    os.kill(job, signal.SIGCONT)

    assert refused.returncode == 4, refused.stderr
    assert "past its fence" in refused.stderr
    assert (status, problem["remedy"]) == (409, "Wait for its end, then roll back.")
    assert world.wait(identity)["status"] == "succeeded"
    assert world.version() == "two"
    assert world.cli("cancel", identity).returncode == 2
    until(lambda: world.api("GET", f"/deployments/{identity}")[1]["status"] == "succeeded", "seen")
    assert world.api("POST", f"/deployments/{identity}/cancel", {})[0] == 409
