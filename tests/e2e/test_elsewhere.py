"""`restore --to-database`: a backup to look into, beside an app that runs on."""

import contextlib
import fcntl

from tests.e2e.world import toml

OTHER = {"repository": "acme/other", "checkout": "/nonexistent/other"}


def test_a_backup_is_loaded_into_a_new_database_and_into_nobody_s(world):
    world.prepare()
    world.fill()
    backup = world.cli_json("backup", world.name)["id"]
    world.db.documents.delete_many({})
    (world.uploads / "upload-1.txt").unlink()
    look, theirs = f"{world.name}_look", f"{world.name}_theirs"
    client, live = world.db.client, list(world.db.people.find())
    uri = world.home / "uri"
    uri.write_text(f"mongodb://127.0.0.1:{world.mongod.port}/{theirs}")
    tables = {
        "apps.other": OTHER | {"webhook_secret_file": str(world.home / "secret")},
        "apps.other.data": {"mongodb": str(uri)},
    }
    text = "".join(f"[{name}]\n{toml(table)}" for name, table in tables.items())
    world.config.write_text(f"{world.config.read_text()}\n{text}")
    lock = world.state / "apps" / world.name / "lock"

    with contextlib.ExitStack() as stack:
        stack.callback(client.drop_database, look)
        held = stack.enter_context(lock.open())
        fcntl.flock(held, fcntl.LOCK_EX)  # a deployment runs: it is not waited for
        done = world.cli_json("restore", world.name, backup, "--to-database", look)
        refused = {
            name: world.cli("restore", world.name, "--to-database", name, check=2).stderr
            for name in (look, theirs)
        }
        there = client[look]
        assert done == {
            "backup": backup,
            "to_database": look,
            "collections": ["documents", "people"],
        }
        assert there.documents.count_documents({}) == 200
        assert there.documents.index_information()["n_1"]["unique"]
        assert list(there.people.find()) == live

    assert f"{look} is not empty: it has documents, people" in refused[look]
    assert f"{theirs} is the one of other" in refused[theirs]
    assert world.db.documents.count_documents({}) == 0
    assert not (world.uploads / "upload-1.txt").exists()
    assert not {look, theirs} & {*client.list_database_names()}
