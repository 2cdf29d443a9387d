"""What reading a backup back leaves behind, and who may remove it meanwhile."""

import json
import os

import pytest

from tests.backups.test_verify import DATA, flip
from worker.adapters import files
from worker.backups import catalogue
from worker.backups.reader import Reader
from worker.backups.reading import reading, removing
from worker.backups.retention import prune
from worker.backups.verification import read_back
from worker.backups.verify import RECORD, verify
from worker.errors import BackupError, BusyError, NotFoundError

PHOTO = "uploads/backend/uploads/photo.jpg"
LATER = "2099-01-01T00:00:00.000Z"


@pytest.fixture
def plain(thynk):
    return thynk.without_mongo()


@pytest.fixture
def backup(plain):
    return plain.backup()


def listed(plain):
    return catalogue.backups(plain.source.app.backup_dir, "thynk")


def read(folder):
    return read_back(folder, "thynk", LATER, lambda *_: None)


def test_whole_backup_is_verified_anew_and_its_record_is_no_part_of_it(plain, backup):
    assert read(backup.path).damage is None

    [found] = listed(plain)
    assert (found.verified_at, found.damage) == (LATER, None)
    assert read(backup.path).faults == ()
    verify(backup.path)


def test_damaged_backup_is_never_counted_as_verified_until_it_is_whole_again(plain, backup):
    newer = plain.backup()
    flip(newer.path / PHOTO)

    found = read(newer.path)

    assert PHOTO in found.faults[0]
    [first, _] = listed(plain)
    assert (first.id, first.verified_at, first.damage_found_at) == (newer.id, None, LATER)
    assert PHOTO in first.damage
    assert catalogue.find(plain.source.app.backup_dir, "thynk").id == backup.id
    flip(newer.path / PHOTO)
    read(newer.path)
    assert catalogue.find(plain.source.app.backup_dir, "thynk").id == newer.id


def test_ruined_record_does_not_count_for_a_verified_backup(plain, backup):
    (backup.path / RECORD).write_text("{")

    [found] = listed(plain)

    assert (found.verified_at, found.damage) == (None, f"{RECORD} cannot be read")


@pytest.mark.parametrize("ruined", ["{", '{"app": "thynk"}', ""])
def test_backup_with_a_ruined_manifest_is_found_and_named(plain, backup, ruined):
    (backup.path / "manifest.json").write_text(ruined)

    [folder] = catalogue.folders(plain.source.app.backup_dir, "thynk")

    assert "manifest.json" in read(folder).damage
    with pytest.raises(BackupError, match=r"manifest\.json has no checksum"):
        catalogue.find(plain.source.app.backup_dir, "thynk", backup.id)


def test_backup_under_another_one_s_name_is_damage(plain, backup):
    moved = backup.path.rename(backup.path.with_name("20200101_000000"))
    assert backup.id in read(moved).damage
    found = read_back(moved, "another", LATER, lambda *_: None)
    assert "is of thynk's backup" in found.damage


def test_failure_that_is_not_the_backup_s_proves_nothing(plain, backup, monkeypatch):
    def none_left(*_, **__):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "dup", none_left)
    with pytest.raises(BackupError, match="Too many open files"):
        read(backup.path)
    assert not (backup.path / RECORD).exists()


def test_backup_that_is_read_is_not_removed_meanwhile(plain, backup):
    folder = plain.source.app.backup_dir
    with reading(backup.path), reading(backup.path):
        assert prune(folder, "thynk", [backup]) == []
        assert backup.path.exists()
    assert prune(folder, "thynk", [backup]) == [backup.id]


def test_backup_that_goes_or_is_gone_is_not_read(backup):
    with removing(backup.path):
        with pytest.raises(NotFoundError), reading(backup.path):
            pass
        with pytest.raises(BusyError), removing(backup.path):
            pass
    backup.path.rename(backup.path.with_name(".deleting-1"))
    with pytest.raises(NotFoundError), reading(backup.path):
        pass


def test_record_holds_every_fault_and_the_time(backup):
    flip(backup.path / PHOTO)
    (backup.path / "manifest.txt").unlink()
    read(backup.path)
    stored = json.loads((backup.path / RECORD).read_text())
    assert stored["at"] == LATER
    assert [fault.split()[0] for fault in stored["faults"]] == ["manifest.txt", PHOTO]


def test_what_backups_share_is_read_once_and_its_damage_found_in_each(
    thynk, old_files, monkeypatch
):
    thynk.db.users.insert_many({"_id": n} for n in range(100))
    old_files()
    first = thynk.backup()
    second = thynk.backup(previous=first)
    shared = [DATA, PHOTO]
    assert all((first.path / one).samefile(second.path / one) for one in shared)
    flip(first.path / PHOTO)
    hashed = []
    sha256 = files.sha256
    monkeypatch.setattr(files, "sha256", lambda *rest: hashed.append(1) or sha256(*rest))

    def read_both(reader):
        both = (first, second)
        found = [read_back(one.path, "thynk", LATER, lambda *_: None, reader) for one in both]
        assert [PHOTO in one.damage for one in found] == [True, True]

    read_both(None)
    twice = len(hashed)
    read_both(Reader())
    assert len(hashed) - twice <= twice - len(shared)
