"""SIGKILL at every durable write, and at every word to mongod, of a backup and of a restore."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backups.dying import BURNT, KINDS
from tests.backups.support import fingerprint, thynk_on, tree
from worker.backups import catalogue
from worker.backups.verify import verify

DYING = Path(__file__).with_name("dying.py")
EXHAUSTIVE = bool(os.environ.get("SHEETANCHOR_EXHAUSTIVE"))
# How many of them are left out between two, elsewhere than in the nightly run.
STEPS = {"backup fsync": 4, "backup rename": 2, "restore sendto": 17}


@pytest.fixture(scope="module")
def thynk(standalone, tmp_path_factory):
    """An app's data with one backup of it, the one that all is put back from."""
    with thynk_on(standalone, tmp_path_factory.mktemp("killed") / "checkout") as app:
        for name in ("a", "b"):
            app.db[name].insert_many({"_id": n, "name": f"{name} {n}"} for n in range(300))
            app.db[name].create_index("name", unique=True)
        app.db.sessions.create_index("at", expireAfterSeconds=3600)
        app.db.sessions.insert_one({"n": 1})
        app.db.create_collection("view", viewOn="a", pipeline=[])
        (app.uploads / "folder").mkdir()
        (app.uploads / "folder/file").write_text("old")
        app.backup()
        yield app


@pytest.fixture(scope="module")
def dying(thynk, standalone):
    """Return what has a child do something and die at its nth call of a kind."""
    injected = f"inject={','.join(KINDS)}:signal=KILL:when={BURNT}"
    argv = ["strace", "-f", "-qqq", "-o", "/dev/null"]
    argv += ["-e", f"trace={','.join(KINDS)}", "-e", injected]
    argv += [sys.executable, str(DYING), standalone, str(thynk.checkout)]
    with subprocess.Popen(
        argv, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=DYING.parents[2]
    ) as driver:

        def die(what, kind, number):
            driver.stdin.write(f"{what} {kind} {number}\n")
            driver.stdin.flush()
            answer = driver.stdout.readline().strip()
            assert answer in ("killed", "ended 0"), answer
            return answer == "killed"

        yield die
        driver.stdin.close()


def each_death(dying, what, kind):
    """Yield each number at which it died, up to the first at which it lived."""
    number, step = 1, 1 if EXHAUSTIVE else STEPS.get(f"{what} {kind}", 1)
    while dying(what, kind, number):
        yield number
        number += step
    assert number > 1, f"{what} never calls {kind}"
    print(f"{what}: killed at {kind} 1 to {number - step}")


@pytest.mark.parametrize("kind", ["fsync", "rename"])
def test_a_backup_killed_at_any_durable_write_is_whole_or_not_there(thynk, dying, kind):
    folder = thynk.source.app.backup_dir
    [first] = catalogue.backups(folder, "thynk")
    live, files = fingerprint(thynk.db), tree(thynk.uploads)

    def judge():
        listed = catalogue.backups(folder, "thynk")
        assert first in listed
        for backup in listed:
            verify(backup.path)
        catalogue.clean_partial(folder, "thynk")
        assert {one.name for one in folder.iterdir()} == {one.id for one in listed}
        for backup in listed:
            if backup != first:
                catalogue.remove(backup.path)

    for _ in each_death(dying, "backup", kind):
        judge()
    judge()
    assert (fingerprint(thynk.db), tree(thynk.uploads)) == (live, files)


@pytest.mark.parametrize("kind", ["fsync", "rename", "renameat", "sendto"])
def test_a_restore_killed_at_any_durable_write_is_finished_by_the_next(thynk, dying, kind):
    [backup] = catalogue.backups(thynk.source.app.backup_dir, "thynk")
    good, files, hashes = fingerprint(thynk.db), tree(thynk.uploads), hashed(thynk.db)
    spoil(thynk)
    spoilt = hashed(thynk.db)
    for number in each_death(dying, "restore", kind):
        at = f"{kind} {number}"
        now = hashed(thynk.db)
        assert all(now.get(name) in (hashes.get(name), spoilt.get(name)) for name in now), at
        assert (thynk.uploads / "folder/file").read_text() in ("old", "new"), at
        assert thynk.env.read_text() in ("SECRET=one\n", "SECRET=two\n"), at
        thynk.restore(backup)
        verify(backup.path)
        assert fingerprint(thynk.db) == good, at
        # The last thing of all is the top folder's time: alone it is no difference.
        assert tree(thynk.uploads)[b"."][:4] == files[b"."][:4], at
        assert tree(thynk.uploads) | {b".": None} == files | {b".": None}, at
        assert thynk.env.read_text() == "SECRET=one\n", at
        spoil(thynk)
        spoilt = hashed(thynk.db)
    assert (fingerprint(thynk.db), tree(thynk.uploads)) == (good, files)  # it lived


def spoil(thynk):
    """Let the live data differ from the backup everywhere."""
    for name in ("a", "b", "sessions"):
        thynk.db[name].insert_one({"_id": "spoilt"})
    thynk.db.drop_collection("view")
    thynk.db.added.insert_one({"_id": "spoilt"})
    (thynk.uploads / "folder/file").write_text("new")
    with contextlib.suppress(FileNotFoundError):
        (thynk.uploads / "photo.jpg").unlink()
    (thynk.uploads / "added").touch()
    thynk.env.write_text("SECRET=two\n")


def hashed(db):
    """Return the hashes of the app's collections: staged ones and views are none."""
    found = db.command("dbHash")["collections"]
    return {name: found[name] for name in found if not name.startswith(("_sheet", "system."))}
