"""What runs, or ran never, when sheetanchor comes: refused with a remedy that helps, or taken."""

import json
import re
import subprocess

import pytest

from tests.e2e import fingerprint
from tests.e2e.world import World, release
from worker.adapters.compose_command import binary

LIVE = 'services:\n  web:\n    environment: {STAGE: "${STAGE}"}\n'
SPOILS = "db.documents.drop()\n(uploads / 'kept.txt').write_text('spoiled')\nraise SystemExit(1)\n"


@pytest.fixture
def fresh(tmp_path, mongod):
    """A server on which nothing was ever deployed, not even cloned."""
    made = World(tmp_path, mongod)
    made.db.documents.insert_many([{"n": n} for n in range(200)])
    made.up()
    yield made
    made.close()


def data(world):
    return fingerprint.database(world.db), fingerprint.tree(world.uploads)


def test_first_push_of_all_is_undone_to_nothing_and_a_good_one_is_deployed(fresh):
    refused = fresh.wait(fresh.deliver(fresh.git("rev-parse", "HEAD"))[1]["deployment"])
    assert (refused["status"], refused["error"]["step"]) == ("failed", "preflight")
    env = fresh.checkout / ".env.production"
    assert f"{env} does not exist" in refused["error"]["message"]
    assert refused["error"]["remedy"].startswith("Write it")
    env.write_text(f"MONGODB_URI={fresh.uri}\nPORT={fresh.port}\n")
    (fresh.uploads / "kept.txt").write_text("a person's")
    before = data(fresh)

    ill = {"release.json": release("ill"), "migration.py": SPOILS}
    ended = fresh.wait(fresh.push(ill))

    assert ended["status"] == "rolled_back", ended["error"]
    assert fresh.containers() == {}
    assert data(fresh) == before
    assert ended["safety_backup"]

    good = {"release.json": release("good"), "migration.py": None}
    first = fresh.wait(fresh.push(good))
    assert first["status"] == "succeeded", first["error"]
    assert (fresh.version(), data(fresh)) == ("good", before)


@pytest.fixture
def otherwise(tmp_path, mongod):
    """An app that was started with two files, an env file and a project of other names."""
    made = World(tmp_path, mongod)
    made.other = f"{made.name}-live"
    try:
        start_otherwise(made)
        yield made
    finally:
        made.close()
        fingerprint.remove(made.other)


def start_otherwise(world):
    world.commit({"live.yml": LIVE, ".gitignore": ".env*\nbackups/\n"})
    world.prepare()
    env = (world.checkout / ".env.production").read_text()
    (world.checkout / ".env.live").write_text(f"{env}STAGE=live\n")
    files = ["-f", "docker-compose.yml", "-f", "live.yml", "--env-file", ".env.live"]
    command = [binary(), "-p", world.other, *files, "up", "-d", "--build", "--wait"]
    subprocess.run(command, cwd=world.checkout, check=True, capture_output=True)
    world.fill()
    world.up()


def configure(world, **keys):
    """Write keys of the app into the configuration, as a remedy says, and restart."""
    text = world.config.read_text()
    for key, value in keys.items():
        text = re.sub(rf"^{key} = .*\n", "", text, flags=re.MULTILINE)
        header = f"[apps.{world.name}]\n"
        text = text.replace(header, f"{header}{key} = {json.dumps(value)}\n")
    world.config.write_text(text)
    world.stop(world.server)
    world.up()


def look(world):
    return world.fingerprint() | {"containers": fingerprint.containers(world.other)}


def refused(world, version):
    """Push; return the error of its refusal. Nothing may have changed."""
    before = look(world)
    ended = world.wait(world.push({"release.json": release(version)}))
    assert (ended["status"], ended["error"]["step"]) == ("failed", "preflight"), ended["error"]
    assert look(world) == before
    assert world.containers() == {}
    return ended["error"]


def said(key, text):
    """Return the value that a remedy gives a key."""
    value, _ = json.JSONDecoder().raw_decode(text.partition(f"{key} = ")[2])
    return value


def test_app_started_with_other_files_names_and_env_file_is_taken_over_as_it_runs(otherwise):
    world = otherwise
    error = refused(world, "refused")
    assert "-f docker-compose.yml -f live.yml --env-file .env.live" in error["message"]
    keys = {key: said(key, error["remedy"]) for key in ("compose_files", "env_file")}

    configure(world, **keys)
    before = look(world)
    bad = world.wait(world.push({"release.json": release("bad", mode="exits")}))
    assert bad["status"] == "rolled_back", bad["error"]
    assert look(world) == before
    assert (world.version(), world.environment()["STAGE"]) == ("one", "live")

    configure(world, project=world.name)
    error = refused(world, "beside")
    assert f"{world.name} would be a second one" in error["message"]
    configure(world, project=said("project", error["remedy"]))
    good = world.wait(world.push({"release.json": release("good")}))
    assert good["status"] == "succeeded", good["error"]
    assert (world.version(), world.environment()["STAGE"]) == ("good", "live")
    assert (world.containers(), len(look(world)["containers"])) == ({}, 1)
