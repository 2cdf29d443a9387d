"""SIGKILL from outside, in the act of a step: only another `sheetanchor worker` may repair.

At the points before and after each act it is done in `test_failpoints`.
"""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.e2e.world import HERE, World, release, until

SLOW_BUILD = "FROM sheetanchor-base:1\nRUN sleep 6\nCOPY app.py release.json migration.p[y] /app/\n"
SLOW_BUILD += 'CMD ["python3", "/app/app.py"]\n'
MIGRATION = """
db.documents.update_many({}, {"$set": {"text": "rewritten"}})
db.added.insert_one({"by": "the new version"})
(uploads / "upload-2.txt").unlink()
(uploads / "new.txt").write_text("new")
"""
GOOD = {
    "release.json": release("two"),
    "Dockerfile": (HERE / "app" / "Dockerfile").read_text(),
    "migration.py": "",
}
# What is pushed so that a step takes long enough to be killed in it.
PUSHED = {
    "build": {**GOOD, "Dockerfile": SLOW_BUILD},
    "fence": GOOD,
    "restore": {**GOOD, "migration.py": f"{MIGRATION}raise SystemExit(9)\n"},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, mongod):
    """Redis and web as always, the worker apart, so that it can be killed alone."""
    world = World(tmp_path_factory.mktemp("kill"), mongod)
    try:
        world.prepare()
        world.start_redis()
        world.start("webhook")
        world.worker = world.start("worker")
        until(lambda: world.ask("GET", "/readyz")[0] == 200, "ready")
        first = world.wait(world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"])
        assert first["status"] == "succeeded", first
        world.fill()
        yield world
    finally:
        world.tell()
        world.close()


@pytest.fixture
def world_of_two(shared):
    """Each test pushes all that it needs over version one, and leaves version one."""
    if shared.worker.poll() is not None:
        shared.worker = shared.start("worker")
    assert shared.version() == "one"
    return shared


def process_of(world, identity):
    """Return the process that wrote the newest record of a deployment's journal."""
    path = world.state / "apps" / world.name / "journal" / f"{identity}.jsonl"
    return json.loads(path.read_text().splitlines()[-1])["pid"]


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def reach(world, identity, step):
    """Wait until a step has begun to act."""
    phase = "way_back" if step == "restore" else "deploy"
    world.wait_for_step(identity, step, phase)
    if step == "build":
        until(lambda: world.pids("docker-compose"), "the build runs")


def began_again(world, identity):
    """Return whether a process other than the dead one goes on with the deployment."""
    found = world.deployment(identity)
    return found["status"] in ("rolling_back", "failed", "rolled_back")


@pytest.mark.parametrize(("step", "victim"), [("build", "worker"), ("restore", "job")])
def test_killed_deployment_is_undone_by_another_worker(world_of_two, step, victim):
    world = world_of_two
    before = world.fingerprint()
    identity = world.push(PUSHED[step])
    reach(world, identity, step)
    job = process_of(world, identity)

    if victim == "worker":
        kill(world.worker.pid)
        world.worker.wait()
        until(lambda: not Path(f"/proc/{job}").exists(), "the job died with its worker")
        world.worker = world.start("worker")
        until(lambda: ready(world), "the new worker lives")
    else:
        kill(job)

    until(lambda: began_again(world, identity), "the way back begins")
    ended = world.wait(identity)
    assert ended["status"] == ("failed" if step == "build" else "rolled_back"), ended
    assert world.version() == "one"
    assert world.fingerprint() == before


def ready(world):
    log = max(world.home.glob("worker-*.log"), key=lambda path: int(path.stem.split("-")[1]))
    return re.search("work.found", log.read_text())


@pytest.mark.parametrize("step", ["fence", "restore"])
def test_killed_command_line_deploy_is_undone_by_a_worker(world_of_two, step):
    world = world_of_two
    before = world.fingerprint()
    world.commit(PUSHED[step])
    deploying = world.start("deploy", world.name)
    identity = until(lambda: newest(world, deploying), "the deploy begins")
    reach(world, identity, step)

    kill(deploying.pid)

    until(lambda: began_again(world, identity), "the way back begins")
    ended = world.wait(identity)
    assert ended["status"] == ("failed" if step == "build" else "rolled_back"), ended
    assert world.fingerprint() == before


def newest(world, process):
    """Return the deployment that a process runs, once its journal is there."""
    for path in (world.state / "apps" / world.name / "journal").glob("*.jsonl"):
        if f'"pid":{process.pid},' in path.read_text():
            return path.stem
    assert process.poll() is None, "it ended before it began"
    return None


def test_nothing_of_a_killed_deployment_goes_on(world_of_two):
    world = world_of_two
    identity = world.push(PUSHED["build"])
    reach(world, identity, "build")

    kill(process_of(world, identity))

    world.wait(identity)
    assert world.pids(f"SHEETANCHOR_DEPLOYMENT={identity}") == []


def test_killed_while_docker_stops_the_old_version(world_of_two):
    """The daemon goes on stopping it: who looks too early sees a running container (measured)."""
    world = world_of_two
    stubborn = (
        (world.clone / "docker-compose.yml")
        .read_text()
        .replace("stop_grace_period: 2s", "stop_grace_period: 5s\n    stop_signal: SIGUSR2")
    )
    deaf = (
        (world.clone / "app.py")
        .read_text()
        .replace(
            "signal.signal(signal.SIGTERM,",
            "signal.signal(signal.SIGUSR2, signal.SIG_IGN)\nsignal.signal(signal.SIGTERM,",
        )
    )
    deaf_one = {**GOOD, "release.json": release("one"), "app.py": deaf}
    good = world.wait(world.push({**deaf_one, "docker-compose.yml": stubborn}))
    assert good["status"] == "succeeded", good
    before = world.fingerprint()
    identity = world.push(GOOD)
    log = world.state / "apps" / world.name / "logs" / f"{identity}.log"
    until(lambda: log.exists() and "stopping" in log.read_text(), "the old version is stopped")
    until(lambda: world.policy() == "no", "the stop is on its way")

    kill(process_of(world, identity))

    ended = world.wait(identity)
    assert ended["status"] == "rolled_back", ended
    assert world.version() == "one"
    assert world.fingerprint() == before
