"""Every kind of damage is found, and the file is named."""

import gzip
import json
import os

import pytest

from tests.backups.support import fingerprint
from worker.backups import catalogue, progress
from worker.backups.catalogue import backups
from worker.backups.verify import verify
from worker.errors import BackupError, NotFoundError

DATA = "mongodb/thynk/users.bson.gz"
METADATA = "mongodb/thynk/users.metadata.json.gz"
PHOTO = "uploads/backend/uploads/photo.jpg"
ENV = "config/.env.production.local"
EVERY_FILE = [DATA, METADATA, PHOTO, ENV, "manifest.txt", "manifest.json"]


@pytest.fixture
def backup(thynk):
    thynk.db.users.insert_many({"_id": n, "name": f"user {n}"} for n in range(1000))
    thynk.db.users.create_index("name", unique=True)
    (thynk.uploads / "folder").mkdir()
    (thynk.uploads / "link").symlink_to("photo.jpg")
    return thynk.backup()


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def shorten(path):
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"\0")


def to_a_link(path):
    aside = path.with_name("aside")
    path.rename(aside)
    path.symlink_to(aside)


@pytest.mark.parametrize("damage", [flip, shorten, lengthen, os.unlink, to_a_link])
@pytest.mark.parametrize("path", EVERY_FILE)
def test_damage_is_found_and_the_file_named(backup, path, damage):
    verify(backup.path)
    damage(backup.path / path)
    with pytest.raises(BackupError) as error:
        verify(backup.path)
    assert path in error.value.message or damage is to_a_link


def test_what_does_not_belong_there_is_found(backup):
    (backup.path / "mongodb/thynk/extra.bson.gz").touch()
    with pytest.raises(BackupError, match=r"extra\.bson\.gz is not in the manifest"):
        verify(backup.path)


def test_an_upload_s_link_and_folder_are_looked_at(backup):
    folder = backup.path / "uploads/backend/uploads"
    (folder / "link").unlink()
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(BackupError, match="uploads/link links to '/etc/passwd'"):
        verify(backup.path)
    (folder / "link").unlink()
    (folder / "link").symlink_to("photo.jpg")
    (folder / "folder").rmdir()
    with pytest.raises(BackupError, match="uploads/folder is missing"):
        verify(backup.path)


@pytest.mark.parametrize("kept", [999, 500, 0])
def test_a_stream_cut_at_a_document_is_found_even_if_its_file_hash_was_forged(backup, kept):
    """mongorestore takes it for whole (measured)."""
    path = backup.path / DATA
    whole, short, at = gzip.decompress(path.read_bytes()), b"", 0
    for _ in range(kept):
        length = int.from_bytes(whole[at : at + 4], "little")
        short, at = whole[: at + length], at + length
    path.write_bytes(gzip.compress(short))
    _forge(backup.path, DATA)
    with pytest.raises(BackupError, match=f"holds {kept} documents, not 1,000"):
        verify(backup.path)


def test_a_torn_document_is_found_even_if_its_file_hash_was_forged(backup):
    path = backup.path / DATA
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-3]))
    _forge(backup.path, DATA)
    with pytest.raises(BackupError, match="ends inside a document"):
        verify(backup.path)


def test_a_damaged_backup_is_refused_before_anything_is_touched(thynk, backup):
    thynk.db.users.delete_many({})
    (thynk.uploads / "photo.jpg").unlink()
    flip(backup.path / PHOTO)
    live = fingerprint(thynk.db)
    with pytest.raises(BackupError, match=r"photo\.jpg"):
        thynk.restore(backup)
    assert fingerprint(thynk.db) == live
    assert not (thynk.uploads / "photo.jpg").exists()


def test_a_backup_that_fails_leaves_no_folder(thynk):
    def full(_):
        raise OSError(28, "No space left on device", "messages.bson.gz")

    thynk.db.messages.insert_one({})
    with pytest.raises(BackupError, match="No space left on device"):
        thynk.backup(report=full)
    assert list(thynk.source.app.backup_dir.iterdir()) == []


def test_a_backup_can_be_ended_in_the_middle_of_a_collection(thynk, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    thynk.db.messages.insert_many({"_id": n} for n in range(20_000))
    lines = []

    def impatient(line):
        lines.append(line)
        raise BackupError("It took too long.", remedy="Wait.")

    with pytest.raises(BackupError, match="took too long"):
        thynk.backup(report=impatient)
    assert "documents" in lines[0]
    assert list(thynk.source.app.backup_dir.iterdir()) == []


def test_a_killed_backup_is_not_listed_and_cleaned_up(thynk, backup):
    folder = thynk.source.app.backup_dir
    (folder / f".partial-{backup.id}_9").mkdir()
    other = folder / ".partial-20200101_000000"
    other.mkdir()
    (other / "manifest.json").write_text(json.dumps({"app": "another"}))
    stranger = folder / ".partial-20200101_000001"
    stranger.mkdir()
    (stranger / "precious").touch()
    assert [each.id for each in backups(folder, "thynk")] == [backup.id]
    assert catalogue.clean_partial(folder, "thynk") == [f".partial-{backup.id}_9"]
    assert other.exists()
    assert stranger.exists()


def test_the_catalogue_lists_newest_first_and_only_this_app_s(thynk, backup):
    folder = thynk.source.app.backup_dir
    second = thynk.backup(kind="fence", previous=backup)
    (folder / "20260101_000000").mkdir()  # THYNK's old script named its folders so
    (folder / "20260101_000000/manifest.txt").write_text("old")
    assert [each.id for each in backups(folder, "thynk")] == [second.id, backup.id]
    assert backups(folder, "another") == []
    assert catalogue.find(folder, "thynk").id == second.id
    assert catalogue.find(folder, "thynk", backup.id) == backup
    assert json.loads(json.dumps(backup.summary()))["documents"] == 1000
    with pytest.raises(NotFoundError, match="20990101_000000"):
        catalogue.find(folder, "thynk", "20990101_000000")


def _forge(folder, path):
    """Let the manifest say of a file what it is now, with a checksum that fits."""
    from worker.adapters import files  # noqa: PLC0415
    from worker.backups import manifest as manifests  # noqa: PLC0415

    found = manifests.read(folder)
    digest, size = files.sha256_of(folder / path)
    object.__setattr__(found.databases["thynk"]["users"], "file_sha256", digest)
    object.__setattr__(found.databases["thynk"]["users"], "file_size", size)
    manifests.write(folder, found)
