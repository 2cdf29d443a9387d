"""What others do while a deployment runs: prune images, damage a backup, write, move the branch.

`SHEETANCHOR_EXHAUSTIVE=1` does all cells of the rows; otherwise a diagonal.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import docker
import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from redis import Redis

from tests.e2e.cells import BACK, FORWARD, SHORT, Bench, cells, named, only_exhaustive
from tests.e2e.world import World, free_port, until
from worker.clock import parse

REMOTE = [("deploy", step) for step in FORWARD] + [("way_back", step) for step in BACK]
REMOTE_CI = [("deploy", "preflight")]
HANGS = cells("Git remote hangs", REMOTE_CI, REMOTE)
MOVES = cells(
    "branch moves or goes", [], [(how, *one) for how in ("moves", "goes") for one in REMOTE]
)
REDIS = [(how, *one) for how in ("frozen", "emptied", "killed") for one in REMOTE]
AWAY = cells("Redis frozen, emptied or killed", [("frozen", "deploy", "fence")], REDIS)
CLOCK = [
    (by, phase, step) for by in ("3600", "-3600", "31536000", "-31536000") for phase, step in REMOTE
]
CLOCK_CI = [("31536000", "deploy", "health")]
JUMPS = cells("clock jumps", CLOCK_CI, CLOCK)
SHORT_FETCH = SHORT | {"worker.adapters.git_repository.REMOTE": 5.0}


@pytest.fixture(scope="module")
def bench(tmp_path_factory, mongod):
    home, port = tmp_path_factory.mktemp("meanwhile"), free_port()
    url = f"git://127.0.0.1:{port}/origin.git"
    world = World(home, mongod, app={"clone_url": url})
    argv = ["git", "daemon", "--export-all", f"--base-path={home}", "--listen=127.0.0.1"]
    daemon = subprocess.Popen([*argv, f"--port={port}"], start_new_session=True)
    (home / "clock").write_text("0")
    world.start_redis()
    try:
        made = Bench(world, CLOCK_SET_BY=str(home / "clock"))
        made.daemon, made.clock = daemon, home / "clock"
        yield made
    finally:
        world.tell()
        world.close()
        os.killpg(daemon.pid, signal.SIGCONT)
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()


def is_as_ever(bench, ended, phase):
    """What happened meanwhile changed nothing: it goes on to its own end."""
    if phase == "way_back":
        bench.is_old(ended, decided=True)
    else:
        bench.is_new(ended)


@pytest.mark.parametrize(("phase", "step"), HANGS, ids=named(HANGS))
def test_remote_that_hangs_is_given_up_or_not_needed(bench, phase, step):
    @contextmanager
    def hangs():
        os.killpg(bench.daemon.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(bench.daemon.pid, signal.SIGCONT)

    ended = bench.at(phase, step, hangs, lasts=True, limits=SHORT_FETCH)

    if step == "preflight":
        bench.is_undecided(ended, "could not be fetched")
    else:
        is_as_ever(bench, ended, phase)


@only_exhaustive
@pytest.mark.parametrize(("how", "phase", "step"), MOVES, ids=named(MOVES))
def test_branch_that_moves_or_goes_is_deployed_as_it_was_fetched(bench, how, phase, step):
    world = bench.world

    @contextmanager
    def moves():
        bench.moved_to = bench.world.commit({"moved.txt": f"{phase}.{step}"})
        yield

    @contextmanager
    def goes():
        world.git("update-ref", "-d", f"refs/heads/{world.branch}", cwd=world.origin)
        yield

    ended = bench.at(phase, step, {"moves": moves, "goes": goes}[how])

    if (how, step) == ("goes", "preflight"):
        return bench.is_undecided(ended, "no branch main")
    if (how, step) == ("moves", "preflight"):
        assert ended["revision"] == bench.moved_to
        bench.version = world.version()
    elif how == "moves":
        assert ended["revision"] != bench.moved_to
    return is_as_ever(bench, ended, phase)


@pytest.mark.parametrize(("how", "phase", "step"), AWAY, ids=named(AWAY))
def test_redis_that_is_away_or_empty_changes_no_end(bench, how, phase, step):
    world = bench.world

    @contextmanager
    def frozen():
        world.redis.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            world.redis.send_signal(signal.SIGCONT)

    @contextmanager
    def emptied():
        with Redis(unix_socket_path=str(world.home / "r.sock")) as redis:
            redis.flushall()
        yield

    @contextmanager
    def killed():
        world.redis.kill()
        world.redis.wait()
        try:
            yield
        finally:
            world.redis = subprocess.Popen(world.redis.args, stdout=subprocess.DEVNULL)
            world.processes.append(world.redis)

    fault = {"frozen": frozen, "emptied": emptied, "killed": killed}[how]

    is_as_ever(bench, bench.at(phase, step, fault, lasts=True), phase)


@pytest.mark.parametrize(("by", "phase", "step"), JUMPS, ids=named(JUMPS))
def test_clock_that_is_set_changes_no_end_and_no_duration(bench, by, phase, step):
    began = time.monotonic()

    @contextmanager
    def jumps():
        bench.clock.write_text(by)
        yield

    try:
        ended = bench.at(phase, step, jumps)
    finally:
        bench.clock.write_text("0")

    is_as_ever(bench, ended, phase)
    took = time.monotonic() - began
    assert parse(ended["finished_at"]) != parse(ended["started_at"])
    times = [ended["seconds"], *(step["seconds"] for step in ended["steps"])]
    assert [one for one in times if not 0 <= one <= took] == [], ended
    assert ended["outage_seconds"] is None or 0 <= ended["outage_seconds"] <= took, ended
    kept = {one["id"] for one in bench.world.cli_json("backups", bench.world.name)["backups"]}
    assert ended["backup"] in kept, "the newest backup is kept"


def prune(bench):
    """Remove the images of the app that no container uses, as `docker image prune -a` does."""
    name, client = bench.world.name, docker.from_env()
    try:
        used = {one.attrs["Image"] for one in client.containers.list(all=True)}
        images = [one for one in client.api.images() if one["Id"] not in used]
        tags = [(one["Id"], tag) for one in images for tag in one["RepoTags"] or ()]
        mine = [tag for _, tag in tags if tag.startswith((f"{name}-", f"sheetanchor/{name}:"))]
        for tag in mine:
            with suppress(docker.errors.ImageNotFound):
                client.images.remove(tag)
    finally:
        client.close()


def pruned(bench):
    @contextmanager
    def pruning():
        prune(bench)
        yield

    return pruning


def test_images_that_are_pruned_after_the_build_are_missed_before_the_stop(bench):
    running = bench.world.containers()

    bench.points.hold("deploy.build.after_record")
    child = bench.start({"migration.py": "pass"})
    bench.points.wait("deploy.build.after_record")
    prune(bench)
    bench.points.forget()
    assert child.wait(300) == 1

    ended = bench.newest()
    bench.is_undecided(ended, "was built just now, was removed from Docker")
    assert bench.world.containers() == running
    assert "fence" not in [step["name"] for step in ended["steps"]]


@only_exhaustive
def test_pruned_image_of_the_old_version_is_named_with_the_command_that_makes_it_anew(bench):
    ended = bench.at("way_back", "switch", pruned(bench))

    world = bench.world
    assert ended["status"] == "inconsistent", ended
    said = ended["error"]["message"]
    assert "was removed from Docker" in said
    command = said.partition("Run `")[2].partition("`")[0]
    assert command.endswith("up -d --build"), said
    subprocess.run(command.split(), check=True, capture_output=True)
    until(lambda: world.version() == bench.was, "the old version answers")
    world.cli("resume", world.name, check=0)
    now = world.fingerprint()
    assert now["database"] == bench.before["database"]
    assert now["uploads"] == bench.before["uploads"]


@only_exhaustive
def test_backup_that_is_damaged_before_the_restore_is_not_put_back(bench):
    world = bench.world
    live = {}

    @contextmanager
    def damaged():
        newest = max(world.checkout.glob("backups/2*/manifest.json")).parent
        fence = next(
            one
            for one in sorted(world.checkout.glob("backups/2*"), reverse=True)
            if '"kind": "fence"' in (one / "manifest.json").read_text()
        )
        assert fence <= newest
        for part in fence.glob("mongodb/*/documents.bson.gz"):
            content = part.read_bytes()
            part.unlink()  # the other backups' hard link stays whole
            part.write_bytes(content[:-20] + bytes(20))
        live.update(world.fingerprint())
        yield

    ended = bench.at("way_back", "restore", damaged)

    assert ended["status"] == "inconsistent", ended
    now = world.fingerprint()
    assert (now["database"], now["uploads"]) == (live["database"], live["uploads"])
    world.cli("restore", world.name, first_of(ended, world), "--yes", check=0)
    now = world.fingerprint()
    assert now["database"] == bench.before["database"]


def first_of(ended, world):
    """Return the deployment's pre-deploy backup: whole, and of the same data."""
    shown = world.cli_json("backups", world.name)["backups"]
    return next(
        one["id"]
        for one in shown
        if (one["kind"], one["deployment"]) == ("pre-deploy", ended["id"])
    )


@contextmanager
def writing(world):
    """Somebody else writes to a collection all the time."""
    stopped = threading.Event()

    def write():
        with MongoClient("127.0.0.1", world.mongod.port) as client:
            number = 0
            while not stopped.is_set():
                with suppress(PyMongoError):
                    number += 1
                    where = {"name": "person 1"}
                    client[world.name].people.update_one(where, {"$set": {"seen": number}})
                time.sleep(0.005)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def test_foreign_writer_in_the_fence_is_named_and_the_old_version_back(bench):
    ended = bench.at("deploy", "fence", lambda: writing(bench.world), lasts=True)

    world = bench.world
    assert ended["status"] == "rolled_back", ended
    assert f"Somebody else writes to {world.name}.people" in ended["error"]["message"]
    assert world.version() == bench.was
    bench.is_tidy()


@only_exhaustive
def test_foreign_writer_in_the_restore_is_named_and_a_person_called(bench):
    ended = bench.at("way_back", "restore", lambda: writing(bench.world), lasts=True)

    world = bench.world
    assert ended["status"] == "inconsistent", ended
    assert f"{world.name}.people" in ended["error"]["message"], ended
    world.cli("restore", world.name, ended["backup"], "--yes", check=0)
    assert world.version() == bench.was
    assert world.fingerprint()["database"] == bench.before["database"]


@contextmanager
def slow_update(world):
    """A client began to change many documents, slowly, and was killed; mongod goes on."""
    code = (
        "import sys; from pymongo import MongoClient\n"
        "db = MongoClient('127.0.0.1', int(sys.argv[1]))[sys.argv[2]]\n"
        "slowly = {'$where': 'sleep(400) || true'}\n"
        "db.documents.update_many(slowly, {'$set': {'changed': 'slowly'}})\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(world.mongod.port), world.name])
    until(lambda: operations(world), "the update runs")
    child.kill()
    child.wait()
    assert operations(world)
    yield


def operations(world):
    asked = [{"$currentOp": {"allUsers": True}}, {"$match": {"op": "update"}}]
    found = world.mongod.client.admin.aggregate(asked)
    return [one for one in found if one["ns"].startswith(world.name)]


@only_exhaustive
@pytest.mark.parametrize(("phase", "step"), [("deploy", "fence"), ("way_back", "halt")])
def test_operation_of_a_killed_client_is_waited_for_then_ended(bench, phase, step):
    limits = SHORT | {"worker.steps.halt.LIMIT": 60.0, "worker.steps.quiet.KILL_AFTER": 0.1}

    ended = bench.at(phase, step, lambda: slow_update(bench.world), limits=limits)

    assert operations(bench.world) == []
    found = next(one for one in ended["steps"] if (one["name"], one["phase"]) == (step, phase))
    assert found["facts"]["operations_waited_for"] == 1
    if phase == "way_back":
        bench.is_old(ended, decided=True)
    else:
        assert ended["status"] == "succeeded", ended
