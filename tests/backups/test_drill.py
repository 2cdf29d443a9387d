"""A drill restores, compares and removes; on real mongods, without a word about live data."""

import json
import os

import pytest
from pymongo import MongoClient

from tests.backups.everything import fill
from tests.backups.support import fingerprint, thynk_on, tree
from tests.backups.test_verify import _forge, flip
from worker.adapters.mongo import Mongo
from worker.adapters.mongo_writer import Writer
from worker.backups import drill as drills
from worker.backups import drilled
from worker.backups.drill import drill
from worker.backups.load import Load
from worker.backups.place import Place
from worker.backups.restore import restore
from worker.backups.scratch import FOLDER, MARK, NOTE, Scratch, database_name
from worker.errors import BackupError, FullError, GuardError, RestoreError

SCRATCH = "thynk_sheetanchor_drill"


def run(thynk, backup):
    return drill(thynk.source, backup, lambda _: None)


def leftovers(thynk):
    """Return what of a drill is left: databases with something in them, and the folder."""
    names = [one for one in thynk.client.list_database_names() if one.endswith("_drill")]
    data = [one for one in names if thynk.client[one].list_collection_names() != ["system.views"]]
    folder = thynk.source.app.backup_dir / FOLDER
    return data + ([str(folder)] if os.path.lexists(folder) else [])


@pytest.fixture
def backup(thynk):
    thynk.db.users.insert_many({"_id": n, "name": f"user {n}"} for n in range(300))
    thynk.db.users.create_index("name", unique=True)
    return thynk.backup()


def test_drill_of_everything_passes_and_leaves_nothing_behind(thynk_everywhere):
    thynk = thynk_everywhere
    fill(thynk.db)
    (thynk.uploads / "folder").mkdir()
    (thynk.uploads / "folder/link").symlink_to("../photo.jpg")
    os.chown(thynk.uploads / "photo.jpg", 1234, 1234)
    backup = thynk.backup()
    live, files = fingerprint(thynk.db), (tree(thynk.uploads), tree(backup.path))

    done = run(thynk, backup)

    assert (done.backup, done.documents, done.files) == (backup.id, backup.documents, backup.files)
    assert done.restore_seconds > 0
    assert leftovers(thynk) == []
    assert fingerprint(thynk.db) == live
    assert (tree(thynk.uploads), tree(backup.path)) == files


def test_damaged_backup_fails_before_anything_is_made(thynk, backup, monkeypatch):
    monkeypatch.setattr(Scratch, "make", None)
    flip(backup.path / "uploads/backend/uploads/photo.jpg")
    with pytest.raises(BackupError, match=r"photo\.jpg"):
        run(thynk, backup)


@pytest.mark.parametrize("killed", ["clean", "_clean"])
def test_what_a_killed_drill_left_goes_before_the_next(thynk, backup, monkeypatch, killed):
    with monkeypatch.context() as patched:
        patched.setattr(drills, "_refuse_differences", lambda *_: 1 / 0)
        patched.setattr(drills, "_clean", lambda _: None)
        with pytest.raises(ZeroDivisionError):
            run(thynk, backup)
    assert len(leftovers(thynk)) == 2
    if killed == "clean":  # in the middle of removing it
        thynk.client[SCRATCH].users.drop()
        (thynk.source.app.backup_dir / FOLDER / "config/.env.production.local").unlink()

    run(thynk, backup)

    assert leftovers(thynk) == []


@pytest.mark.parametrize("whose", ["the backups'", "mongod's"])
def test_drill_that_would_leave_no_room_for_others_is_refused(thynk, backup, monkeypatch, whose):
    if whose == "mongod's":
        monkeypatch.setattr(Writer, "free_bytes", lambda _: 1000)
    else:
        monkeypatch.setattr(drills.disk, "free_bytes", lambda _: drills.SPARE)
    loaded = []
    monkeypatch.setattr(Load, "stage", lambda *_: loaded.append(1))
    monkeypatch.setattr(Place, "stage", lambda *_: loaded.append(1))
    with pytest.raises(FullError, match="are free"):
        run(thynk, backup)
    assert (loaded, leftovers(thynk)) == ([], [])


def test_failed_drill_removes_what_it_made(thynk, backup, monkeypatch):
    build = Writer.create_indexes

    def none(writer, name, indexes):
        return build(writer, name, [] if name.endswith("restore.0000") else indexes)

    monkeypatch.setattr(Writer, "create_indexes", none)
    with pytest.raises(RestoreError, match="options and indexes"):
        run(thynk, backup)
    assert leftovers(thynk) == []


def test_index_that_is_lost_in_the_swap_is_found(thynk, backup, monkeypatch):
    swap = Writer.swap_in

    def lossy(writer, staged, name):
        swap(writer, staged, name)
        if name == "users":
            writer.drop_index(name, "name_1")

    monkeypatch.setattr(Writer, "swap_in", lossy)
    with pytest.raises(RestoreError, match=r"thynk\.users has other indexes"):
        run(thynk, backup)


def test_file_that_comes_back_otherwise_is_found(thynk, backup, monkeypatch):
    place = drills._place

    def careless(top, *rest):
        place(top, *rest)
        (top / "photo.jpg").write_bytes(b"another")

    monkeypatch.setattr(drills, "_place", careless)
    with pytest.raises(RestoreError, match=r"photo\.jpg \(changed\)"):
        run(thynk, backup)
    assert leftovers(thynk) == []


def test_documents_that_are_not_the_backup_s_are_found_even_if_its_hashes_were_forged(
    thynk, backup
):
    path = "mongodb/thynk/users.bson.gz"
    thynk.db.users.delete_one({"_id": 7})
    other = thynk.backup()
    (backup.path / path).write_bytes((other.path / path).read_bytes())
    _forge(backup.path, path)
    with pytest.raises((BackupError, RestoreError), match="299"):
        run(thynk, backup)


@pytest.mark.parametrize("marked", [False, True])
def test_database_with_that_name_that_is_not_ours_is_left_as_it_is(thynk, backup, marked):
    theirs = thynk.client[SCRATCH]
    theirs.precious.insert_one({"_id": 1})
    if marked:
        theirs[MARK].insert_one({"app": "another"})
    try:
        with pytest.raises(GuardError, match=SCRATCH):
            run(thynk, backup)
        assert theirs.precious.count_documents({}) == 1
    finally:
        thynk.client.drop_database(SCRATCH)
    assert leftovers(thynk) == []


@pytest.mark.parametrize("note", [None, {"app": "another"}, []])
def test_folder_with_that_name_that_is_not_ours_is_left_as_it_is(thynk, backup, note):
    folder = thynk.source.app.backup_dir / FOLDER
    folder.mkdir()
    (folder / "precious").write_text("precious")
    if note is not None:
        (folder / NOTE).write_text(json.dumps(note))
    with pytest.raises(GuardError, match="no drill's folder"):
        run(thynk, backup)
    assert (folder / "precious").read_text() == "precious"


def test_link_in_the_folder_s_place_is_not_followed(thynk, backup, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / NOTE).write_text(json.dumps({"app": "thynk"}))
    (thynk.source.app.backup_dir / FOLDER).symlink_to(elsewhere)
    with pytest.raises(GuardError):
        run(thynk, backup)
    assert (elsewhere / NOTE).exists()


def test_user_that_may_not_restore_there_is_told_which_role(guarded, tmp_path):
    """And a grant to the letter lets the next drill pass."""
    with thynk_on(guarded, tmp_path / "checkout") as thynk:
        thynk.db.users.insert_one({"_id": 1})
        backup = thynk.backup()
        roles = [{"role": "readWrite", "db": "thynk"}]
        thynk.client.thynk.command("createUser", "app", pwd="app", roles=roles)
        uri = guarded.replace("root:root", "app:app").replace(
            "authSource=admin", "authSource=thynk"
        )
        with Mongo.connect(uri, ("thynk",)) as mongo:
            source = type(thynk.source)(app=thynk.source.app, mongo=mongo, clock=thynk.source.clock)
            for _ in ("may not even look there", "may not read there"):
                with pytest.raises(GuardError) as refused:
                    drill(source, backup, lambda _: None)
                assert f'{{role: "readWrite", db: "{SCRATCH}"}}' in refused.value.remedy
                with pytest.raises(GuardError) as elsewhere:
                    restore(source, backup, to_database="thynk_look", report=lambda _: None)
                assert '{role: "readWrite", db: "thynk_look"}' in elsewhere.value.remedy
                with MongoClient(guarded) as client:
                    granted = [{"role": "restore", "db": "admin"}]
                    client.thynk.command("grantRolesToUser", "app", roles=granted)
            with MongoClient(guarded) as client:
                granted = [{"role": "readWrite", "db": SCRATCH}]
                client.thynk.command("grantRolesToUser", "app", roles=granted)
            assert drill(source, backup, lambda _: None).documents == 1
            with MongoClient(guarded) as client:
                client.thynk.command("dropUser", "app")
        assert leftovers(thynk) == []


def test_scratch_database_s_name_fits_whatever_the_live_one_s():
    one, other = database_name("d" * 63), database_name("d" * 62 + "e")
    assert one != other
    assert all(len(name.encode()) <= 63 and "sheetanchor_drill" in name for name in (one, other))
    assert len(database_name("ä" * 31).encode()) <= 63


def test_record_keeps_the_last_success_beside_a_failure(tmp_path):
    record = tmp_path / "drill.json"
    done = drills.Drilled(backup="b", restore_seconds=1.5, documents=1, files=2, bytes=3)
    assert drilled.read(record) is None
    drilled.failed(record, None, "No.", "Yes.", "t0")
    assert drilled.read(record)["passed_at"] is None
    drilled.passed(record, done, "t1")
    assert (drilled.read(record)["passed_at"], drilled.read(record)["failed"]) == ("t1", None)
    drilled.failed(record, "b", "No.", "Yes.", "t2")
    found = drilled.read(record)
    assert (found["passed_at"], found["restore_seconds"], found["failed"]["at"]) == (
        "t1",
        1.5,
        "t2",
    )
