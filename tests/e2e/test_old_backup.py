"""A backup of the script that was used before sheetanchor, from the command line."""

import gzip
import shutil

from tests.backups.test_old import STAMP, pack
from worker import lock


def test_an_old_script_s_backup_is_listed_read_and_restored(world):
    world.prepare()
    world.cli("deploy", world.name, check=0)
    world.fill()
    before, folder = world.fingerprint(), world.checkout / "backups" / STAMP
    ours = world.cli_json("backup", world.name)["path"]
    dump = world.home / "dump" / world.name
    dump.mkdir(parents=True)
    for path in sorted((world.checkout / ours / "mongodb" / world.name).iterdir()):
        (dump / path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))
    folder.mkdir()
    pack(folder / f"mongodb-{STAMP}.tar.gz", world.home, "dump")
    pack(folder / f"uploads-{STAMP}.tar.gz", world.checkout, "uploads")
    shutil.copy(world.checkout / ".env.production", folder / "env.production.backup")
    (folder / "manifest.txt").write_text("by hand\n")
    world.db.documents.delete_many({})
    (world.uploads / "upload-1.txt").write_text("spoilt")
    shutil.rmtree(world.uploads / "folder")

    listed = world.cli_json("backups", world.name)["backups"]
    assert "read to its end" in world.cli("verify", world.name, STAMP, check=0).stdout
    _is_loaded_into_another_database_once_nobody_works_on_the_app(world)
    ended = world.cli_json("restore", world.name, STAMP, "--yes")

    assert [(one["id"], one["kind"]) for one in listed][-1] == (STAMP, "old")
    assert (ended["status"], ended["kind"]) == ("succeeded", "restore"), ended
    assert world.version() == "one"
    after = world.fingerprint()
    assert (after["database"], after["env"]) == (before["database"], before["env"])
    restored = [world.uploads / "upload-1.txt", world.uploads / "folder/inner.txt"]
    assert [path.read_text() for path in restored] == ["upload 1", "inner"]
    assert (folder / "manifest.txt").exists()
    aside = next(b for b in world.backups() if b["id"] == ended["safety_backup"])
    assert (aside["path"] / "uploads/uploads/upload-1.txt").read_text() == "spoilt"


def _is_loaded_into_another_database_once_nobody_works_on_the_app(world):
    """It is copied first, and who holds the app's lock may remove what is half made there."""
    look = f"{world.name}_look"
    elsewhere = ("restore", world.name, STAMP, "--to-database", look)
    with lock.held(world.state / "apps" / world.name / "lock", world.name):
        busy = world.cli(*elsewhere, check=4)
    assert "Another deployment" in busy.stderr
    assert world.cli_json(*elsewhere)["to_database"] == look
    world.db.client.drop_database(look)
