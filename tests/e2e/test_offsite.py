"""Copies elsewhere, from the push to the new server: the server dies, the app comes back."""

import os
import shutil
import signal
import time

import pytest

from tests.e2e import fingerprint
from tests.e2e.patient import patient_world
from tests.e2e.world import until


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    home = tmp_path_factory.mktemp("offsite")
    made = patient_world(home, mongod)
    for name in ("cloud", "disk"):
        (home / name).mkdir()
    made.cloud, made.disk = f"rclone::local:{home}/cloud", f"rsync:{home}/disk"
    made.usb = f"rsync:{home}/usb"
    text = made.config.read_text()
    three = f'offsite = ["{made.cloud}", "{made.disk}", "{made.usb}"]'
    made.config.write_text(text.replace('dir = "backups"', f'dir = "backups"\n{three}'))
    try:
        made.begin()
        yield made
    finally:
        made.close()


def shown(world):
    found = world.api("GET", f"/apps/{world.name}")[1]["offsite"]
    return {one["target"]: one for one in found}


def empty_server(world):
    """Have nothing left but the configuration, the secrets and the copies."""
    fingerprint.remove(world.name)
    shutil.rmtree(world.checkout)
    shutil.rmtree(world.state)
    world.db.client.drop_database(world.name)


def data(world):
    """Return what must come back: documents, uploads with owner and mode, the env file."""
    documents = {name: list(world.db[name].find()) for name in ("documents", "people")}
    uploads = {
        path.relative_to(world.checkout): (
            path.lstat().st_mode,
            path.lstat().st_uid,
            path.read_bytes() if path.is_file() else None,
        )
        for path in [*world.uploads.rglob("*"), world.checkout / ".env.production"]
    }
    return documents, uploads


def test_every_good_backup_is_copied_and_a_target_that_is_away_fails_no_deployment(world):
    ended = world.wait(world.push({"README": "two"}))
    assert ended["status"] == "succeeded", ended
    newest = world.backups()[-1]["id"]

    until(
        lambda: [shown(world)[one]["backup"] for one in (world.cloud, world.disk)] == [newest] * 2,
        "both have the newest",
        120,
    )
    until(lambda: shown(world)[world.usb]["failed"], "the third one's failure is shown", 120)

    assert sorted(os.listdir(world.home / "disk"))[-1] == newest
    assert shown(world)[world.usb]["retry_at"]


def test_the_app_comes_back_on_an_empty_server_whoever_is_killed(world):
    backup = world.cli_json("backup", world.name)["id"]
    until(lambda: shown(world)[world.cloud]["backup"] == backup, "it is there", 120)
    before = data(world)
    world.stop(world.server)
    empty_server(world)
    recover = ("recover", world.name, "--from", world.cloud)

    record = world.state / "apps" / world.name / "rebuilding.json"
    signs = {
        "cloned": (world.checkout / ".git").exists,
        "being fetched": lambda: [*world.checkout.glob("backups/.pulling-*")],
        "being put back": lambda: record.exists() and '"writing": true' in record.read_text(),
        "being deployed": lambda: record.exists() and '"restored": true' in record.read_text(),
    }

    for name, is_there in signs.items():
        process = world.start(*recover)
        while process.poll() is None and not is_there():
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, name

    done = world.cli(*recover, check=0)

    assert f"backup {backup} is back already" in done.stderr
    assert f"{world.name} is back, with its data from {world.cloud}." in done.stderr
    assert data(world) == before
    assert world.version() == "one"
    assert world.db.documents.index_information()["n_1"]["unique"]
    assert not record.exists()
    record.write_text('{"backup": null, "writing": true, "restored": true}')  # of a killed one
    again = world.cli(*recover, check=2)
    assert "runs on this server since" in again.stderr
    assert data(world) == before


def test_pulled_copy_is_restored_where_the_backups_are_lost(world):
    backup = world.backups()[-1]["id"]
    world.cli("offsite", "push", world.name, "--to", world.disk, check=0)
    before = data(world)
    shutil.rmtree(world.checkout / "backups")
    world.db.documents.delete_many({})
    (world.uploads / "upload-0.txt").unlink()

    world.cli("offsite", "pull", world.name, "--from", world.disk, check=0)
    world.cli("restore", world.name, backup, "--yes", check=0)

    assert data(world) == before


def test_server_that_is_not_empty_is_left_as_it_is(world):
    empty_server(world)
    world.git("clone", "--quiet", str(world.origin), str(world.checkout), cwd=world.home)

    def refused(why):
        told = world.cli("recover", world.name, "--from", world.disk, check=2).stderr
        assert "This server is not empty" in told
        assert why in told

    mine = world.uploads / "mine.txt"
    mine.write_text("mine")
    refused("mine.txt is there")
    assert mine.read_text() == "mine"
    mine.unlink()
    env = world.checkout / ".env.production"
    env.write_text("MINE=1\n")
    refused(".env.production is there, and is another than the backup's")
    assert env.read_text() == "MINE=1\n"
    env.unlink()
    world.db.mine.insert_one({"n": 1})
    refused("has mine")
    assert world.db.list_collection_names() == ["mine"]
    assert os.listdir(world.uploads) == [".gitkeep"]
    assert world.containers() == {}
