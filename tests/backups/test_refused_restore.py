"""What a restore refuses, with the live data as it was: too little room, paths that leave."""

import os
import subprocess
from dataclasses import replace

import pytest

from tests.backups.forging import forge_collection
from tests.backups.support import fingerprint, running_mongod, thynk_on, tree
from worker.adapters import disk as disks
from worker.adapters.files_tree import Tree
from worker.adapters.mongo_writer import Writer
from worker.backups import catalogue
from worker.backups import manifest as manifests
from worker.backups.catalogue import Backup
from worker.backups.elsewhere import refuse_name
from worker.backups.source import STAGING
from worker.backups.verify import verify
from worker.errors import BackupError, FullError, RestoreError, UsageError
from worker.steps.data import lost

MIB = 1 << 20
BLOBS = 40  # MiB in the database, and half of it in one upload


@pytest.fixture
def disk(tmp_path):
    """Make disks of their own, as root may mount them."""
    made = []

    def mount(size, place=None):
        folder = place or tmp_path / f"disk-{len(made)}"
        folder.mkdir()
        argv = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", folder]
        subprocess.run(argv, check=True)
        made.append(folder)
        return folder

    yield mount
    for folder in reversed(made):
        subprocess.run(["umount", folder], check=True)


def leave(folder, room):
    """Fill a disk until only so many MiB are free."""
    filler = folder / "filler"
    filler.unlink(missing_ok=True)
    found = os.statvfs(folder)
    filler.write_bytes(bytes(found.f_bavail * found.f_frsize - room * MIB))


def test_too_little_room_for_mongod_is_seen_before_it_ends_there(disk, tmp_path):
    """mongod aborts on a full disk, and the live data with it (seen)."""
    there = disk(600)
    (there / "mongod").mkdir()
    with (
        running_mongod(there / "mongod") as port,
        thynk_on(f"mongodb://127.0.0.1:{port}/", there / "checkout") as app,
    ):
        thynk = _backed_up_to(app, tmp_path / "backups")
        thynk.db.blobs.insert_many({"_id": n, "blob": os.urandom(MIB)} for n in range(BLOBS))
        (thynk.uploads / "big").write_bytes(os.urandom(BLOBS // 2 * MIB))
        backup = thynk.backup()
        thynk.db.blobs.insert_one({"_id": -1})
        (thynk.uploads / "big").write_bytes(b"!")
        thynk.client.admin.command("fsync")
        live = fingerprint(thynk.db)
        for room in (BLOBS + 90, BLOBS + 112):  # the second for either of them, not for both
            leave(there, room)
            with pytest.raises(FullError, match=r"thynk needs about 140\.\d MiB .* mongod's"):
                thynk.restore(backup)
            assert fingerprint(thynk.db) == live
            assert thynk.db.list_collection_names() == ["blobs"]
            assert (thynk.uploads / "big").read_bytes() == b"!"
            assert not (thynk.uploads / ".sheetanchor-restore").exists()
        (there / "filler").unlink()
        thynk.restore(backup)
        assert thynk.db.blobs.count_documents({}) == BLOBS


def test_too_little_room_for_uploads_is_seen_and_a_disk_that_fills_gives_it_back(
    thynk, disk, monkeypatch
):
    there = disk(16)
    thynk = _backed_up_to(thynk, thynk.checkout / "backups")
    thynk.uploads.rename(thynk.checkout / "before")
    thynk.uploads.symlink_to(there)
    (there / "big").write_bytes(os.urandom(9 * MIB))
    backup = thynk.backup()
    (there / "big").write_bytes(os.urandom(8 * MIB))
    before, free = tree(there), os.statvfs(there).f_bavail
    with pytest.raises(FullError, match=r"needs 9\.0 MiB .* and 8\.0 MiB are free"):
        thynk.restore(backup)
    # The room that was seen is gone meanwhile: the disk itself says so.
    monkeypatch.setattr(Tree, "free_bytes", lambda *_: 1 << 40)
    with pytest.raises(FullError, match=r"before it replaced anything: .*No space left"):
        thynk.restore(backup)
    assert os.statvfs(there).f_bavail == free
    assert [one[:4] for one in tree(there).values()] == [one[:4] for one in before.values()]


def test_a_disk_that_is_mounted_inside_the_uploads_is_restored_in_its_place(thynk, disk):
    """No rename leads from one file system to another: found in the middle of the swap once."""
    thynk = _backed_up_to(thynk, thynk.checkout / "backups")
    thynk.uploads.rename(thynk.checkout / "before")
    top = disk(8)
    thynk.uploads.symlink_to(top)
    (top / "photo").write_text("photo")
    earlier = thynk.backup()
    inner = disk(8, top / "videos")
    (inner / "film").write_bytes(os.urandom(2 * MIB))
    (inner / "old").write_text("old")
    before, backup = tree(top), thynk.backup()
    (inner / "film").write_bytes(os.urandom(2 * MIB))
    (inner / "old").unlink()
    (inner / "new").write_text("new")
    (inner / STAGING).mkdir()  # as a killed restore leaves them
    (top / STAGING).mkdir()
    thynk.restore(backup)
    assert tree(top) == before
    (inner / "film").unlink()
    (inner / "filler").write_bytes(bytes(7 * MIB))
    with pytest.raises(FullError, match=r"uploads/videos needs 2\.0 MiB"):
        thynk.restore(backup)
    thynk.restore(earlier)  # the disk stays, without what is on it
    assert list(inner.iterdir()) == []


def test_a_disk_that_is_mounted_where_the_backup_has_a_file_is_refused_untouched(thynk, disk):
    top = thynk.uploads
    (top / "videos").write_text("a file by then")
    backup = thynk.backup()
    (top / "videos").unlink()
    (top / "photo.jpg").write_text("changed")
    (disk(8, top / "videos") / "film").write_text("film")
    thynk.db.c.insert_one({"_id": 1})
    before = tree(top)
    with pytest.raises(RestoreError, match="and a disk is mounted there") as no:
        thynk.restore(backup)
    assert "Unmount it" in no.value.remedy
    assert tree(top) == before
    assert thynk.db.c.count_documents({}) == 1


def test_a_backup_that_fills_its_disk_leaves_the_others_and_gives_the_space_back(
    thynk, disk, monkeypatch
):
    there = disk(16)
    thynk = _backed_up_to(thynk, there)
    (thynk.uploads / "big").write_bytes(os.urandom(9 * MIB))
    thynk.db.c.insert_one({"_id": 1})
    first = thynk.backup()
    free = os.statvfs(there).f_bavail
    for write in (lambda path: path.write_bytes(os.urandom(9 * MIB)), sparse):
        (thynk.uploads / "big").unlink()
        write(thynk.uploads / "big")
        with pytest.raises(FullError, match=r"needs 9\.0 MiB for uploads that changed"):
            thynk.backup(previous=first)
    with monkeypatch.context() as unseen:  # the app writes faster than we look
        unseen.setattr(disks, "free_bytes", lambda _: 1 << 40)
        with pytest.raises(BackupError, match=r"could not be made: No space left"):
            thynk.backup(previous=first)
    (thynk.uploads / "big").unlink()
    thynk.db.c.insert_many({"blob": os.urandom(MIB)} for _ in range(9))
    with pytest.raises(BackupError, match=r"could not be made: No space left"):
        thynk.backup(previous=first)
    assert os.statvfs(there).f_bavail == free
    assert [one.name for one in there.iterdir()] == [first.id]
    assert catalogue.backups(there, "thynk") == [first]
    verify(first.path)


def sparse(path):
    path.touch()
    os.truncate(path, 9 * MIB)


def _backed_up_to(thynk, folder):
    kept = thynk.source.app.backup.model_copy(update={"dir": folder})
    app = thynk.source.app.model_copy(update={"backup": kept})
    return replace(thynk, source=replace(thynk.source, app=app))


@pytest.fixture
def spoilt(thynk):
    thynk.db.c.insert_one({"_id": 1})
    (thynk.uploads / "folder").mkdir()
    (thynk.uploads / "folder/file").write_text("old")
    backup = thynk.backup()
    thynk.db.c.insert_one({"_id": 2})
    return thynk, backup


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "uploads/backend/uploads/../../../../evil", "uploads/backend/uploads/out/evil"],
    ids=["absolute", "dots", "through-a-link"],
)
def test_a_manifest_whose_path_leaves_the_folder_is_refused(spoilt, tmp_path, path):
    thynk, backup = spoilt
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "evil").write_text("evil")
    (backup.path / "uploads/backend/uploads/out").symlink_to(outside)
    found = manifests.read(backup.path)
    photo = found.files_by_path()["uploads/backend/uploads/photo.jpg"]
    link = photo._replace(path="uploads/backend/uploads/out", type="link", target=str(outside))
    evil = photo._replace(path=path, size=4, sha256="0" * 64)
    manifests.write(backup.path, replace(found, files=[*found.files, link, evil]))
    live, files = fingerprint(thynk.db), tree(thynk.uploads)
    with pytest.raises(BackupError, match="is missing"):
        thynk.restore(backup)
    assert (fingerprint(thynk.db), tree(thynk.uploads)) == (live, files)
    assert [one.name for one in outside.iterdir()] == ["evil"]


def test_a_live_folder_that_became_a_link_is_replaced_and_not_followed(spoilt, tmp_path):
    thynk, backup = spoilt
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    (thynk.uploads / "folder/file").unlink()
    (thynk.uploads / "folder").rmdir()
    (thynk.uploads / "folder").symlink_to(outside)
    inode = thynk.uploads.stat().st_ino
    thynk.restore(backup)
    assert (outside / "file").read_text() == "precious"
    assert (thynk.uploads / "folder/file").read_text() == "old"
    assert not (thynk.uploads / "folder").is_symlink()
    assert thynk.uploads.stat().st_ino == inode  # the bind mount's


def test_a_lost_config_file_is_not_written_through_a_link(spoilt, tmp_path):
    thynk, backup = spoilt
    app, outside = thynk.source.app, tmp_path / "outside"
    outside.mkdir()
    (thynk.checkout / "folder").symlink_to(outside)
    (thynk.checkout / "dangling").symlink_to(outside / "cron")
    found = manifests.read(backup.path)
    env = found.files_by_path()["config/.env.production.local"]
    for name in ("folder/cron", "dangling"):
        files = [env._replace(path=f"config/{name}")]
        manifests.write(backup.path, replace(found, files=files))
        with pytest.raises(RestoreError, match="outside"):
            lost(app, Backup.of(backup.path, found))


@pytest.mark.parametrize("name", ["system.views", "_sheetanchor_restore.0000", "a$b", ".a"])
def test_a_manifest_with_a_collection_that_is_no_app_s_is_refused(spoilt, name):
    thynk, backup = spoilt
    forge_collection(backup, "c", name=name)
    live = fingerprint(thynk.db)
    with pytest.raises(RestoreError, match="no collection of an app's"):
        thynk.restore(backup)
    assert fingerprint(thynk.db) == live


@pytest.mark.parametrize("name", ["admin", "local", "config", "", "a b", "a.b", "a/b", "x" * 64])
def test_no_database_of_mongodb_s_own_and_no_odd_name_is_loaded_into(name):
    with pytest.raises(UsageError):
        refuse_name(name)


def test_what_a_killed_load_elsewhere_left_is_removed_by_the_next(spoilt, monkeypatch):
    thynk, backup = spoilt
    other = thynk.client["thynk_other"]
    try:
        other["_sheetanchor_restore.0000"].insert_one({})
        thynk.restore(backup, to_database="thynk_other")
        assert other.list_collection_names() == ["c"]
        thynk.client.drop_database("thynk_other")

        # The index of what is staged fails, unlike the rehearsal's: nothing stays.
        original = Writer.create_indexes

        def broken(self, name, indexes):
            if name.startswith("_sheetanchor_restore"):
                raise RestoreError("No.", remedy="-")
            original(self, name, indexes)

        monkeypatch.setattr(Writer, "create_indexes", broken)
        with pytest.raises(RestoreError):
            thynk.restore(backup, to_database="thynk_other")
        assert other.list_collection_names() == []
    finally:
        thynk.client.drop_database("thynk_other")


def test_a_server_kept_at_older_features_is_refused_with_the_command_that_raises_it(spoilt):
    """The server itself is the same; its options may not be."""
    thynk, backup = spoilt
    assert manifests.read(backup.path).server["feature_compatibility"] == "6.0"
    assert "feature_compatibility 6.0" in (backup.path / "manifest.txt").read_text()
    live, admin = fingerprint(thynk.db), thynk.client.admin
    admin.command("setFeatureCompatibilityVersion", "5.0")
    try:
        with pytest.raises(RestoreError, match=r"version 6\.0, and it is 5\.0 here") as refused:
            thynk.restore(backup)
        older = thynk.backup()
    finally:
        admin.command("setFeatureCompatibilityVersion", "6.0")
    assert 'setFeatureCompatibilityVersion: "6.0"' in refused.value.remedy
    assert fingerprint(thynk.db) == live
    assert not thynk.restore(older).difference  # from older to newer it goes
