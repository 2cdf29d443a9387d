"""The command line with nothing else running: no Redis, no worker, no web."""

import contextlib
import fcntl
import os
import shutil
import signal
import threading

import docker
import pytest

from tests.e2e import fingerprint
from tests.e2e.world import World, release, until
from worker.decisions import Decisions

KEYS = """
id app kind trigger by reason delivery requested_revision revision previous_revision message author
status queued_at started_at finished_at seconds steps backup safety_backup outage_seconds error
warnings superseded_by
"""
SHAPE = {*KEYS.split()}
STEP = {"name", "phase", "status", "started_at", "seconds", "facts"}
FORWARD = ["preflight", "backup", "pull", "build", "fence", "switch", "health", "commit"]
TWO = {"release.json": release("two")}
ILL = {"release.json": release("two", mode="exits")}
BROKEN = {"Dockerfile": "FROM sheetanchor-base:1\nRUN exit 7\n"}
SLOW = "FROM sheetanchor-base:1\nRUN sleep 8\nCOPY app.py release.json /app/\n"


@pytest.fixture
def deployed(world):
    """Version one, deployed from the command line, with documents and uploads."""
    world.prepare()
    world.first = world.cli_json("deploy", world.name)
    assert world.first["status"] == "succeeded", world.first
    world.fill()
    return world


def known_to_the_server(world, identities):
    """Bring the server up; wait until its API lists these deployments; return them."""
    world.up()

    def listed():
        _, answer = world.api("GET", f"/apps/{world.name}/deployments")
        found = {one["id"]: one for one in answer["deployments"]}
        return found if set(identities) <= set(found) else None

    return until(listed, "the API lists what the command line did")


def test_deploy_without_a_server_has_the_shape_of_the_design(world):
    world.prepare()

    ended = world.cli_json("deploy", world.name, "--reason", "the first time")

    assert set(ended) == SHAPE
    assert (ended["status"], ended["kind"], ended["trigger"]) == ("succeeded", "deploy", "cli")
    assert (ended["reason"], ended["error"]) == ("the first time", None)
    assert ended["revision"] == world.git("rev-parse", "HEAD")
    assert [step["name"] for step in ended["steps"]] == FORWARD
    assert all(set(step) == STEP for step in ended["steps"])
    assert {(step["phase"], step["status"]) for step in ended["steps"]} == {("deploy", "done")}
    assert ended["backup"] in [backup["id"] for backup in world.backups()]
    assert world.version() == "one"
    assert world.cli_json("show", ended["id"]) == ended


def test_all_that_happened_without_a_server_is_known_to_it_afterwards(deployed):
    world = deployed
    world.commit(TWO)
    two = world.cli_json("deploy", world.name)
    kept = world.cli_json("backup", world.name)
    back = world.cli_json("rollback", world.name)
    put_back = world.cli_json("restore", world.name, kept["id"], "--yes")
    ended = [world.first, two, back, put_back]
    assert [one["status"] for one in ended] == ["succeeded"] * 4, ended
    assert world.version() == "one"

    known = known_to_the_server(world, [one["id"] for one in ended])

    assert [known[one["id"]] for one in ended] == ended
    status, log = world.api("GET", f"/deployments/{two['id']}/log")
    assert status == 200
    assert "committed" in log
    _, backups = world.api("GET", f"/apps/{world.name}/backups")
    assert kept["id"] in [one["id"] for one in backups["backups"]]
    _, app = world.api("GET", f"/apps/{world.name}")
    assert app["running"]["revision"] == back["revision"]
    assert app["last_deployment"]["id"] == put_back["id"]


@pytest.mark.parametrize(
    ("pushed", "status", "step"),
    [(BROKEN, "failed", "build"), (ILL, "rolled_back", "health")],
    ids=["before-the-fence", "after-it"],
)
def test_failed_deploy_is_1_and_everything_is_as_before(deployed, pushed, status, step):
    before = deployed.fingerprint()
    deployed.commit(pushed)

    done = deployed.cli("deploy", deployed.name)

    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert deployed.version() == "one"
    assert deployed.fingerprint() == before
    ended = deployed.cli_json("history", deployed.name)["deployments"][0]
    assert (ended["status"], ended["error"]["step"]) == (status, step)
    assert ended["error"]["message"].splitlines()[0] in done.stderr


def test_deploying_what_runs_is_0_and_replaces_nothing(deployed):
    ids = deployed.compose("ps", "-q").stdout
    before = deployed.fingerprint()

    assert deployed.cli_json("deploy", deployed.name)["status"] == "succeeded"

    assert deployed.compose("ps", "-q").stdout == ids
    assert deployed.fingerprint() == before


@pytest.mark.parametrize("lock", ["state", "checkout"])
@pytest.mark.parametrize("command", ["deploy", "rollback", "restore", "backup", "stop", "restart"])
def test_busy_app_is_4_and_nothing_happens(own_deployed, command, lock):
    world = own_deployed
    before, backups = world.fingerprint(), world.backups()
    path = world.state / "apps" / world.name / "lock"
    with locked(path if lock == "state" else world.checkout / ".git"), a_deployment_runs(world):
        confirmed = ["--yes"] if command in ("restore", "rollback") else []
        goal = ["--to", world.first["id"]] if command == "rollback" else []
        busy = world.cli("--json", command, world.name, *goal, *confirmed)

    assert busy.returncode == 4, busy.stderr
    assert "Another deployment" in busy.stderr
    assert world.fingerprint() == before
    assert world.backups() == backups


@pytest.fixture(scope="module")
def own_deployed(tmp_path_factory, mongod):
    """One deployed world for what changes nothing."""
    world = World(tmp_path_factory.mktemp("busy"), mongod)
    try:
        world.prepare()
        world.first = world.cli_json("deploy", world.name)
        world.fill()
        yield world
    finally:
        world.close()


@contextlib.contextmanager
def locked(path):
    held = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(held)


@contextlib.contextmanager
def a_deployment_runs(world):
    """Have a journal that is at work, as far as anybody who finds the lock taken can see."""
    folder = world.state / "apps" / world.name / "journal"
    ended = (folder / f"{world.first['id']}.jsonl").read_bytes().splitlines(keepends=True)
    at_work = folder / "20270101t000000-000000.jsonl"
    at_work.write_bytes(b"".join(ended[:-1]))
    try:
        yield
    finally:
        at_work.unlink()


def test_held_app_is_4_until_forced(deployed):
    path = deployed.state / "apps" / deployed.name / "decisions.json"
    now = "2026-11-22T00:00:00Z"
    Decisions(path).hold("frozen", by="ann", at=now, reason="exam week", head=None)
    deployed.commit(TWO)

    held = deployed.cli("deploy", deployed.name)

    assert held.returncode == 4, held.stderr
    assert "exam week" in held.stderr
    assert deployed.version() == "one"
    deployed.cli("deploy", deployed.name, "--force", check=0)
    assert deployed.version() == "two"


def test_way_back_that_fails_is_3_and_a_push_touches_nothing_more(deployed):
    """Somebody removes the old image after the fence: there is no way back."""
    old = deployed.containers()["web-1"][1]
    deployed.commit({"release.json": release("two", mode="never_healthy")})
    deploying = deployed.start("deploy", deployed.name)
    identity = until(lambda: running_deployment(deployed), "the deploy begins")
    deployed.wait_for_step(identity, "health")
    forget(old)

    assert deploying.wait(120) == 3

    ended = deployed.deployment(identity)
    assert ended["status"] == "inconsistent"
    assert "way back failed" in ended["error"]["message"]
    assert deployed.cli_json("status", deployed.name)["hold"]["kind"] == "inconsistent"
    assert deployed.cli("deploy", deployed.name).returncode == 4
    deployed.commit({"release.json": release("three")})
    deployed.cli("deploy", deployed.name, "--force", check=0)
    assert deployed.version() == "three"
    assert deployed.db.documents.count_documents({}) == 200


def forget(image):
    client = docker.from_env()
    try:
        client.images.remove(image, force=True)
    finally:
        client.close()


def running_deployment(world):
    """Return the deployment whose journal has no end yet."""
    folder = world.state / "apps" / world.name / "journal"
    found = [
        path.stem for path in folder.glob("*.jsonl") if '"event":"end"' not in path.read_text()
    ]
    return next((one for one in found if world.deployment(one)), None)


@pytest.mark.parametrize(
    ("step", "status"), [("build", "cancelled"), ("health", "rolled_back")], ids=str
)
def test_ctrl_c_leaves_everything_as_it_was(deployed, step, status):
    before = deployed.fingerprint()
    dockerfile = SLOW if step == "build" else SLOW.replace("sleep 8", "true")
    pushed = {"release.json": release("two", mode="never_healthy")}
    deployed.commit(pushed | {"Dockerfile": f'{dockerfile}CMD ["python3", "/app/app.py"]\n'})
    deploying = deployed.start("deploy", deployed.name)
    identity = until(lambda: running_deployment(deployed), "the deploy begins")
    deployed.wait_for_step(identity, step)

    deploying.send_signal(signal.SIGINT)

    assert deploying.wait(60) == 1
    assert deployed.deployment(identity)["status"] == status
    assert deployed.version() == "one"
    assert deployed.fingerprint() == before


def destroy_by_hand(world):
    """Delete documents and uploads, as an accident does."""
    world.db.people.drop()
    world.db.documents.delete_many({"n": {"$gte": 100}})
    (world.uploads / "upload-1.txt").unlink()
    (world.uploads / "upload-2.txt").write_text("overwritten")
    shutil.rmtree(world.uploads / "folder")


def test_restore_brings_back_what_a_person_deleted(deployed):
    world = deployed
    before = world.fingerprint()
    kept = world.cli_json("backup", world.name)
    assert {"id", "app", "kind", "path", "bytes", "verified_at"} <= set(kept)
    destroy_by_hand(world)
    destroyed = world.fingerprint()
    assert destroyed != before

    ended = world.cli_json("restore", world.name, "--yes")

    assert (ended["status"], ended["kind"]) == ("succeeded", "restore"), ended
    assert set(ended) == SHAPE
    assert world.fingerprint() == before
    assert world.version() == "one"
    aside = next(b for b in world.backups() if b["id"] == ended["safety_backup"])
    assert (aside["kind"], aside["deployment"]) == ("safety", ended["id"])
    assert (aside["path"] / "uploads/uploads/upload-2.txt").read_text() == "overwritten"

    world.cli_json("restore", world.name, ended["safety_backup"], "--yes")

    assert world.fingerprint() == destroyed


def test_restore_of_one_part_leaves_the_other(deployed):
    before = deployed.fingerprint()
    deployed.cli("backup", deployed.name, check=0)
    destroy_by_hand(deployed)
    destroyed = deployed.fingerprint()

    deployed.cli("restore", deployed.name, "--only", "uploads", "--yes", check=0)

    now = deployed.fingerprint()
    assert (now["uploads"], now["database"]) == (before["uploads"], destroyed["database"])

    newest = deployed.backups()
    backup = next(b["id"] for b in newest if b["kind"] == "manual")
    deployed.cli("restore", deployed.name, backup, "--only", "mongodb", "--yes", check=0)

    assert deployed.fingerprint() == before


def test_restore_brings_back_a_lost_env_file(deployed):
    before = deployed.fingerprint()
    deployed.cli("backup", deployed.name, check=0)
    (deployed.checkout / ".env.production").unlink()

    deployed.cli("restore", deployed.name, "--only", "env", "--yes", check=0)

    assert deployed.fingerprint() == before
    assert deployed.version() == "one"


def test_restore_from_a_damaged_backup_is_1_and_touches_nothing(deployed):
    kept = deployed.cli_json("backup", deployed.name)
    file = next(b for b in deployed.backups() if b["id"] == kept["id"])["path"]
    damaged = file / "uploads/uploads/upload-3.txt"
    damaged.chmod(0o600)
    damaged.write_text("upload X")
    destroy_by_hand(deployed)
    before = deployed.fingerprint()

    done = deployed.cli("restore", deployed.name, kept["id"], "--yes")

    assert done.returncode == 1, done.stderr
    assert "upload-3.txt" in done.stderr
    assert deployed.fingerprint() == before


def with_volume(world):
    text = (world.clone / "docker-compose.yml").read_text()
    mount = '["./uploads:/app/uploads"'
    text = text.replace(mount, f'{mount}, "cache:/var/cache/app"')
    return {"docker-compose.yml": f"{text}volumes:\n  cache:\n"}


@pytest.fixture
def with_cache(world):
    """Version one with a named volume that holds a file."""
    text = world.config.read_text()
    known = 'uploads = ["uploads"]\nnot_covered = ["web:/var/cache/app"]'
    world.config.write_text(text.replace('uploads = ["uploads"]', known))
    world.commit(with_volume(world))
    world.prepare()
    world.cli("deploy", world.name, check=0)
    world.fill()
    world.compose("exec", "-T", "web", "sh", "-c", "echo precious > /var/cache/app/file")
    return world


def volumes(world):
    client = docker.from_env()
    try:
        label = f"com.docker.compose.project={world.name}"
        return sorted(one.name for one in client.volumes.list(filters={"label": label}))
    finally:
        client.close()


def images(world):
    return sorted(fingerprint.images(world.name))


def test_stop_and_start_leave_policies_data_and_volume_as_they_were(with_cache):
    world = with_cache
    before, there = world.fingerprint(), volumes(world)
    ids = world.compose("ps", "-q").stdout

    stopped = world.cli_json("stop", world.name)

    assert stopped["hold"]["kind"] == "stopped"
    assert world.version() is None
    assert world.containers()["web-1"][0] == "stopped"
    assert volumes(world) == there

    started = world.cli_json("start", world.name)

    assert started["hold"] is None
    until(lambda: world.version() == "one", "version one answers")
    assert world.fingerprint() == before
    assert world.compose("ps", "-q").stdout == ids
    assert world.compose("exec", "-T", "web", "cat", "/var/cache/app/file").stdout == "precious\n"


def test_restart_leaves_everything_as_it_was(with_cache):
    before, there = with_cache.fingerprint(), volumes(with_cache)

    with_cache.cli("restart", with_cache.name, check=0)

    until(lambda: with_cache.version() == "one", "version one answers")
    assert with_cache.fingerprint() == before
    assert volumes(with_cache) == there


def test_stopped_app_stays_stopped_over_a_redelivery_and_a_newer_push_runs(with_cache):
    world = with_cache
    world.cli("stop", world.name, check=0)
    world.up()

    same = world.wait(world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"])

    assert same["status"] == "skipped", same
    assert world.version() is None
    newer = world.wait(world.push(TWO))
    assert newer["status"] == "succeeded", newer
    assert world.version() == "two"
    assert world.containers()["web-1"][2] == (("MaximumRetryCount", 0), ("Name", "unless-stopped"))


def test_remove_takes_containers_and_images_and_never_a_volume_or_data(with_cache):
    world = with_cache
    before, there = world.fingerprint(), volumes(world)
    assert len(there) == 1

    refused = world.cli("remove", world.name, input="no\n")
    assert refused.returncode == 2
    assert world.fingerprint() == before

    removed = world.cli_json("remove", world.name, "--yes")

    assert world.containers() == {}
    assert images(world) == []
    assert f"volume {there[0]}" in removed["left"]
    after = world.fingerprint()
    assert volumes(world) == there
    for kept in ("database", "uploads", "env", "head", "worktree"):
        assert after[kept] == before[kept]

    world.cli("deploy", world.name, check=0)

    assert world.version() == "one"
    assert world.compose("exec", "-T", "web", "cat", "/var/cache/app/file").stdout == "precious\n"


def test_backup_does_not_disturb_the_app(deployed):
    before, failed, stop = deployed.fingerprint(), [], threading.Event()

    def probe():
        while not stop.is_set():
            if deployed.version() is None:
                failed.append(1)

    probing = threading.Thread(target=probe)
    probing.start()
    kept = deployed.cli_json("backup", deployed.name)
    stop.set()
    probing.join()

    assert failed == []
    assert deployed.fingerprint() == before
    listed = deployed.cli_json("backups", deployed.name)["backups"]
    assert (listed[0]["id"], listed[0]["kind"]) == (kept["id"], "manual")
    assert listed[0]["verified_at"]
