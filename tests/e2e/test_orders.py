"""What a person orders through the API (real gunicorn) while a worker deploys."""

import os
import re
import signal
from pathlib import Path

import docker
import pytest

from tests.e2e.patient import patient_world
from tests.e2e.test_holds import SLOW, START, lose_redis
from tests.e2e.test_kill import process_of
from tests.e2e.world import release, until
from worker.decisions import Decisions


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    made = patient_world(tmp_path_factory.mktemp("orders"), mongod)
    try:
        made.begin()
        yield made
    finally:
        made.close()


def shown(world):
    return world.api("GET", f"/apps/{world.name}")[1]


def order(world, verb, **body):
    status, answer = world.api("POST", f"/apps/{world.name}/{verb}", body)
    assert (status, answer["status"]) == (202, "accepted"), answer
    return answer["request"]


def test_freeze_ordered_during_a_build_holds_what_comes_next_until_unfreeze(world):
    building = world.push({"Dockerfile": SLOW.format(world.name) + START})
    world.wait_for_step(building, "build")

    order(world, "freeze", reason="exam week")

    assert [one["reason"] for one in shown(world)["requests"]] == ["exam week"]
    after = world.push({"release.json": release("two")})
    assert world.wait(building)["status"] == "succeeded"
    kept_out = world.wait(after)
    assert (kept_out["status"], "exam week" in kept_out["reason"]) == ("skipped", True)
    until(lambda: shown(world)["requests"] == [], "it is carried out")
    hold = shown(world)["hold"]
    assert (hold["kind"], hold["reason"], hold["by"][:2]) == ("frozen", "exam week", "t-")
    assert world.cli_json("status", world.name)["hold"] == hold

    lose_redis(world)
    again = world.wait(world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"])
    assert again["status"] == "skipped"
    assert world.version() == "one"

    order(world, "unfreeze")

    until(lambda: world.version() == "two", "the fix is deployed", 120)
    until(lambda: shown(world)["last_deployment"]["status"] == "succeeded", "it has ended", 120)
    assert shown(world)["hold"] is None


def test_inconsistent_app_goes_on_once_a_person_resumes_it(world):
    path = world.state / "apps" / world.name / "decisions.json"
    now = "2026-11-22T00:00:00.000Z"
    Decisions(path).hold("inconsistent", by=None, at=now, reason="mongod was gone", head=None)
    kept_out = world.wait(world.push({"release.json": release("three")}))
    assert kept_out["status"] == "skipped"
    assert f"`sheetanchor resume {world.name}`" in kept_out["reason"]
    assert world.cli("freeze", world.name).returncode == 4

    resumed = world.cli_json("resume", world.name, "--reason", "mended it")

    assert resumed["hold"] is None
    ended = world.wait(resumed["deployment"])
    assert (ended["status"], ended["trigger"]) == ("succeeded", "reconcile"), ended
    assert world.version() == "three"
    ended = Decisions(path).read()["ended"]
    assert (ended["hold"]["kind"], ended["reason"]) == ("inconsistent", "mended it")
    assert ended["by"]
    assert world.cli_json("resume", world.name)["deployment"] is None


def test_order_typed_while_a_deployment_runs_is_done_when_it_has_ended(world):
    building = world.push({"Dockerfile": SLOW.format("typed") + START})
    world.wait_for_step(building, "build")
    job = process_of(world, building)
    os.kill(job, signal.SIGSTOP)  # it is at work for as long as the words below take
    try:
        asked = world.cli("freeze", world.name, "--reason", "exams", check=0)
        assert "freeze will be done when the running deployment has ended" in asked.stdout
        assert re.search("asked for +freeze by", world.cli("status", world.name).stdout)
    finally:
        os.kill(job, signal.SIGCONT)

    assert world.wait(building)["status"] == "succeeded"
    hold = until(lambda: world.decisions.read()["hold"], "it is frozen")
    assert (hold["kind"], hold["reason"]) == ("frozen", "exams")
    unfrozen = world.cli_json("unfreeze", world.name)
    assert (unfrozen["hold"], world.cli_json("status", world.name)["requests"]) == (None, [])


def holds_a_lock(pid):
    locks = map(str.split, Path("/proc/locks").read_text().splitlines())
    return any(words[1:2] == ["FLOCK"] and words[4] == str(pid) for words in locks)


def test_push_during_a_plan_runs_right_after_it(world):
    """A plan holds the app for its whole time; nobody rings again when it lets go."""
    planning = world.start("plan", world.name)
    until(lambda: holds_a_lock(planning.pid), "the plan holds the app")
    os.kill(planning.pid, signal.SIGSTOP)
    try:
        pushed = world.push({"release.json": release("planned")})
        assert world.api("GET", f"/deployments/{pushed}")[1]["status"] == "queued"
    finally:
        os.kill(planning.pid, signal.SIGCONT)

    assert planning.wait(120) == 0
    ended = world.wait(pushed)
    assert (ended["status"], ended["trigger"]) == ("succeeded", "push"), ended
    assert world.version() == "planned"


def of_container(world):
    client = docker.from_env()
    label = f"com.docker.compose.project={world.name}"
    try:
        [web] = client.containers.list(all=True, filters={"label": label})
        return web.status, web.attrs["State"]["StartedAt"]
    finally:
        client.close()


def test_stop_restart_and_start_are_done_by_the_worker(world):
    running = of_container(world)

    order(world, "restart")
    until(lambda: of_container(world) > running, "it was started anew", 120)
    order(world, "stop")

    hold = until(lambda: shown(world)["hold"], "it is stopped", 120)
    assert (hold["kind"], hold["by"][:2]) == ("stopped", "t-")
    assert of_container(world)[0] == "exited"
    order(world, "start")
    until(lambda: shown(world)["hold"] is None, "it is started", 120)
    until(lambda: world.version() == "planned", "it answers")
    assert (shown(world)["requests"], shown(world)["undone"]) == ([], [])
