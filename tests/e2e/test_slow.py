"""Slow work beside deployments: asked for through the API, done by a worker of its own."""

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.patient import patient_world
from tests.e2e.test_holds import SLOW, START, lose_redis
from tests.e2e.world import toml, until
from worker.clock import rfc3339

PHOTO = "uploads/uploads/upload-0.txt"
TERABYTE = 1 << 40  # sparse: it takes no space, and hours to read


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    made = patient_world(tmp_path_factory.mktemp("slow"), mongod)
    try:
        made.begin()
        made.first = made.cli_json("backup", made.name)
        yield made
    finally:
        made.close()


def ask(world):
    path = f"/apps/{world.name}/backups/{world.first['id']}/verify"
    status, answer = world.api("POST", path)
    assert (status, answer["status"]) == (202, "accepted"), answer
    return answer["request"]


def shown(world):
    """Return the backup as the API lists it."""
    found = world.api("GET", f"/apps/{world.name}/backups")[1]["backups"]
    return next((one for one in found if one["id"] == world.first["id"]), None)


def waits(world):
    folder = world.state / "apps" / world.name / "slow"
    return [path.stem for path in folder.glob("*.json")] if folder.exists() else []


def slow_pids(world):
    """Return the processes of ours that hold the slow lock's file open."""
    wanted = str(world.state / "apps" / world.name / "slow.lock")
    found = []
    for pid in world.pids(str(world.config)):
        try:
            links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        found += [pid] if wanted in links else []
    return found


def put(world, content):
    """Put another file in the photo's place, in this backup alone: it is linked to others."""
    photo = world.checkout / "backups" / world.first["id"] / PHOTO
    before = photo.read_bytes() if photo.stat().st_size < TERABYTE else b""
    photo.unlink()
    photo.write_bytes(content)
    return before


def endless(world):
    """Have a file of the backup that takes for ever to read; return what it was."""
    before = put(world, b"")
    os.truncate(world.checkout / "backups" / world.first["id"] / PHOTO, TERABYTE)
    return before


def test_verify_is_done_while_a_deployment_builds_and_the_list_shows_the_damage(world):
    building = world.push(
        {"Dockerfile": SLOW.format(world.name).replace("sleep 8", "sleep 20") + START}
    )
    world.wait_for_step(building, "build")
    content = put(world, b"damage")

    ask(world)

    until(lambda: shown(world)["damage"], "the damage is shown")
    assert world.deployment(building)["status"] == "running"
    assert (shown(world)["verified_at"], PHOTO in shown(world)["damage"]) == (None, True)
    put(world, content)
    ask(world)
    until(lambda: shown(world)["verified_at"], "it is whole again")
    assert world.wait(building)["status"] == "succeeded"
    assert waits(world) == []


def test_backup_and_restore_are_asked_for_over_the_api(world):
    before = {one["id"] for one in world.backups()}
    path = f"/apps/{world.name}/backups"
    assert world.api("POST", path)[0] == 202

    def made():
        there = world.api("GET", path)[1]["backups"]
        return next((one for one in there if one["id"] not in before), None)

    new = until(made, "it is made and listed")
    assert (new["kind"], bool(new["verified_at"])) == ("manual", True)
    good = world.fingerprint()
    world.db.documents.delete_many({})
    asked = {"confirm": world.name, "reason": "all documents are gone"}
    status, answer = world.api("POST", f"{path}/{new['id']}/restore", asked)
    assert status == 202, answer
    ended = world.wait(answer["deployment"])
    assert (ended["kind"], ended["status"], ended["trigger"]) == ("restore", "succeeded", "api")
    assert ended["safety_backup"]
    assert world.fingerprint() == good


def test_dead_slow_work_is_done_again_and_stands_in_no_deployment_s_way(world):
    content = endless(world)
    asked = ask(world)
    [pid] = until(lambda: slow_pids(world), "it is read")
    deployed = world.wait(world.push({"README": "more"}))
    assert deployed["status"] == "succeeded"
    assert slow_pids(world) == [pid]
    lose_redis(world)
    put(world, content)

    os.kill(pid, signal.SIGKILL)

    until(lambda: waits(world) == [], "it is done again")
    until(lambda: shown(world) and shown(world)["verified_at"], "the size was given back")
    assert asked not in waits(world)


def scratch(world):
    """Return what of a drill is there: its database and its folder."""
    databases = world.mongod.client.list_database_names()
    folder = world.checkout / "backups/.sheetanchor-drill"
    return [name for name in databases if name == f"{world.name}_sheetanchor_drill"] + [
        folder.name for folder in [folder] if folder.exists()
    ]


def test_killed_drill_is_done_again_by_a_worker_and_leaves_nothing_behind(world):
    drill = world.start("drill", world.name)
    while drill.poll() is None and not scratch(world):
        time.sleep(0.002)
    drill.kill()
    assert drill.wait() == -signal.SIGKILL

    until(lambda: waits(world) == [], "a worker does it again")

    assert scratch(world) == []
    found = until(lambda: world.api("GET", f"/apps/{world.name}")[1]["drill"], "it is shown")
    assert (found["failed"], found["documents"]) == (None, 350)
    assert found["restore_seconds"] > 0
    assert world.cli_json("status", world.name)["drill"] == found


def test_sigterm_ends_slow_work_at_once_and_it_is_done_after_the_restart(world):
    before = shown(world)["verified_at"]
    content = endless(world)
    asked = ask(world)
    until(lambda: slow_pids(world), "it is read")
    began = time.monotonic()

    world.stop(world.server, seconds=120)

    took = time.monotonic() - began
    assert (waits(world), slow_pids(world)) == ([asked], [])
    text = (world.state / "apps" / world.name / "slow" / f"{asked}.json").read_text()
    assert '"tries": 0' in text
    assert took < 100, "an hour's reading was not waited for"
    put(world, content)
    world.up()
    until(lambda: waits(world) == [], "it is done after the restart")
    until(lambda: shown(world) and shown(world)["verified_at"] > before, "it is shown")


def test_missed_backup_is_made_up_once_also_of_a_frozen_app_and_then_drilled(world):
    """The server was down for a month."""
    world.stop(world.server, seconds=120)
    world.cli("freeze", world.name, check=0)
    crons = {"schedule": "0 2 * * *", "drill": "0 4 * * 0"}
    text = world.config.read_text()
    world.config.write_text(text.replace('dir = "backups"\n', 'dir = "backups"\n' + toml(crons)))
    month_ago = rfc3339(datetime.now(UTC) - timedelta(days=31))
    entry = {"handled": month_ago, "tries": 0} | dict.fromkeys(
        ("retry_at", "failed", "succeeded_at")
    )
    due = {"backup": entry | {"cron": "0 2 * * *"}, "drill": entry | {"cron": "0 4 * * 0"}}
    (world.state / "apps" / world.name / "schedule.json").write_text(json.dumps(due))
    world.up()

    def drilled():
        shown = world.api("GET", f"/apps/{world.name}")[1]
        drill = (shown.get("schedule") or {}).get("drill") or {}
        return shown if drill.get("succeeded_at") else None

    shown = until(drilled, "what was missed is made up", 120)

    made = [one for one in world.backups() if one["kind"] == "scheduled"]
    assert len(made) == 1
    assert shown["drill"]["backup"] == shown["last_verified_backup"] == made[0]["id"]
    assert shown["schedule"]["backup"]["failed"] is None
    assert shown["schedule"]["backup"]["next"] > rfc3339(datetime.now(UTC))
    assert shown["hold"]["kind"] == "frozen"
    assert scratch(world) == []
