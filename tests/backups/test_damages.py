"""Damaged backups: mongorestore ends with 0 for seven of ten of these. All are found here.

Four of the ten are no damage of files: a restore onto existing data, documents that do not fit
their validator, a live collection that the backup has not (here), and a duplicate for a unique
index (`test_failed_restore`).
"""

import gzip
import random

import pytest

from tests.backups.support import fingerprint, thynk_on, tree
from worker.backups.verification import read_back
from worker.errors import BackupError

DATA = "mongodb/thynk/users.bson.gz"
EMPTY = "mongodb/thynk/empty.bson.gz"
RANDOM_ONES = 200
SEED = 20261129


@pytest.fixture(scope="module")
def spoilt(standalone, tmp_path_factory):
    """An app with one backup, and live data that differs from it; no test changes either."""
    with thynk_on(standalone, tmp_path_factory.mktemp("damages") / "checkout") as thynk:
        thynk.db.users.insert_many({"_id": n, "name": f"user {n}"} for n in range(20_000))
        thynk.db.users.create_index("name", unique=True)
        thynk.db.create_collection("empty")
        thynk.db.messages.insert_many({"_id": n, "text": f"hello {n}"} for n in range(100))
        for n in range(10):
            (thynk.uploads / f"upload-{n}").write_text(f"upload {n}" * n * 100)
        backup = thynk.backup()
        thynk.db.users.delete_many({})
        thynk.db.later.insert_one({"_id": 1})
        (thynk.uploads / "upload-3").write_text("spoilt")
        yield thynk, backup


def cut_at_a_document(path):
    raw = gzip.decompress(path.read_bytes())
    end = 0
    for _ in range(5_000):
        end += int.from_bytes(raw[end : end + 4], "little")
    path.write_bytes(gzip.compress(raw[:end]))


def cut_in_a_document(path):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-7]))


def cut_in_the_gzip(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def flip_in_a_text(path):
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[raw.index(b"user 777") + 5] ^= 1
    path.write_bytes(gzip.compress(bytes(raw)))


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (DATA, cut_at_a_document),
        (DATA, remove),
        ("mongodb/thynk/users.metadata.json.gz", remove),
        (DATA, flip_in_a_text),
        (DATA, cut_in_a_document),
        (DATA, cut_in_the_gzip),
        (EMPTY, empty),
    ],
)
def test_what_mongorestore_takes_or_half_restores_is_found_and_not_restored(spoilt, name, damage):
    thynk, backup = spoilt
    path = backup.path / name
    whole, live = path.read_bytes(), fingerprint(thynk.db)
    damage(path)
    try:
        found = read_back(backup.path, "thynk", "2026-11-29T00:00:00Z", lambda *_: None)
        assert any(name in fault for fault in found.faults)
        with pytest.raises(BackupError, match=r"is damaged: .*"):
            thynk.restore(backup)
    finally:
        path.write_bytes(whole)
    assert fingerprint(thynk.db) == live


def test_two_hundred_random_damages_are_found_and_none_is_restored(spoilt):
    thynk, backup = spoilt
    live, files = fingerprint(thynk.db), tree(thynk.uploads)
    there = [path for path in sorted(backup.path.rglob("*")) if path.is_file()]
    there = [path for path in there if path.name != "verification.json"]
    chance = random.Random(SEED)
    for number in range(RANDOM_ONES):
        touched, what = spoil_at_random(chance, there)
        try:
            assert is_refused(thynk, backup), f"{number}: {what} was not found"
        finally:
            for path, whole in touched.items():
                path.write_bytes(whole)
    assert (fingerprint(thynk.db), tree(thynk.uploads)) == (live, files)
    verified = read_back(backup.path, "thynk", "2026-11-29T00:00:00Z", lambda *_: None)
    assert verified.damage is None


def is_refused(thynk, backup):
    try:
        thynk.restore(backup)
    except BackupError:
        return True
    return False


def spoil_at_random(chance, there):
    """Damage a backup in one way; return what the files held, and what was done."""
    kind = chance.choice(["flip", "flip", "cut", "swap", "edit", "remove"])
    if kind == "edit":
        there = [path for path in there if path.name == "manifest.json"]
    path = chance.choice([one for one in there if one.stat().st_size])
    whole = path.read_bytes()
    touched = {path: whole}
    if kind == "swap":
        others = [one for one in there if one.read_bytes() != whole]
        other = chance.choice(others)
        touched[other] = other.read_bytes()
        path.write_bytes(touched[other])
        other.write_bytes(whole)
        return touched, f"{path.name} and {other.name} swapped"
    at = chance.randrange(len(whole))
    if kind == "cut":
        path.write_bytes(whole[:at])
    elif kind == "remove":
        path.unlink()
    elif kind == "flip":
        bit = 1 << chance.randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
    else:  # a digit of the manifest, as a person would write another
        at = chance.choice([n for n, byte in enumerate(whole) if 48 <= byte <= 57])
        other = (whole[at] - 48 + 1 + chance.randrange(9)) % 10
        path.write_bytes(whole[:at] + str(other).encode() + whole[at + 1 :])
    return touched, f"{kind} of {path.name} at {at}"


def test_onto_existing_data_it_becomes_what_the_backup_holds(standalone, tmp_path):
    """Also past the validator, and without what came later: neither is so with mongorestore."""
    with thynk_on(standalone, tmp_path / "checkout") as thynk:
        thynk.db.strict.insert_many({"_id": n} for n in range(1000))
        thynk.db.command("collMod", "strict", validator={"new": {"$exists": True}})
        before = fingerprint(thynk.db)
        backup = thynk.backup()
        thynk.db.strict.delete_many({"_id": {"$gt": 500}})
        thynk.db.later.insert_one({})
        thynk.restore(backup)
        assert fingerprint(thynk.db) == before
