"""What THYNK's old script left: listed, read to its end, restored the way of all others."""

import gzip
import io
import os
import shutil
import subprocess
import tarfile

import pytest

from tests.backups.everything import fill
from tests.backups.support import fingerprint, tree
from worker.backups import adopt, catalogue, old
from worker.backups.retention import expired
from worker.clock import parse
from worker.errors import BackupError

STAMP = "20260101_020000"
UPLOADS = {"its-name": ("backend", "uploads"), "its-path": ("", "backend/uploads"),
           "its-content": ("backend/uploads", "."), "its-whole-path": ("/", "")}  # fmt: skip


def ours(thynk):
    """Return what writes a backup's documents where mongodump would have put them."""

    def dump(folder):
        backup = thynk.backup()
        (folder / "thynk").mkdir(parents=True)
        for path in (backup.path / "mongodb/thynk").iterdir():
            plain = folder / "thynk" / path.name.removesuffix(".gz")
            plain.write_bytes(gzip.decompress(path.read_bytes()))
        catalogue.remove(backup.path)

    return dump


def script_s(thynk, tmp_path, packed="its-name", dump=None):
    """Make what the script makes: mongodump's files, uploads and the env file, in archives."""
    thynk.source.app.backup_dir.mkdir(exist_ok=True)
    (dump or ours(thynk))(tmp_path / f"mongodb-{STAMP}")
    folder = thynk.source.app.backup_dir / STAMP
    folder.mkdir()
    where, what = UPLOADS[packed]
    pack(folder / f"mongodb-{STAMP}.tar.gz", tmp_path, f"mongodb-{STAMP}")
    what = what or str(thynk.uploads).lstrip("/")
    pack(folder / f"uploads-{STAMP}.tar.gz", thynk.checkout / where, what)
    shutil.copy(thynk.env, folder / "env.production.local.backup")
    (folder / "manifest.txt").write_text("THYNK backup\n")
    return folder


def pack(archive, where, what):
    subprocess.run(["tar", "-czf", archive, "-C", where, what], check=True)


def without_times(top):
    return {path: seen[:4] for path, seen in tree(top).items()}


@pytest.fixture
def filled(thynk):
    (thynk.uploads / "folder/deep").mkdir(parents=True)
    (thynk.uploads / "folder/deep/file").write_text("old")
    (thynk.uploads / "link").symlink_to("photo.jpg")
    os.chown(thynk.uploads / "photo.jpg", 1234, 1234)
    (thynk.uploads / "photo.jpg").chmod(0o640)
    (thynk.uploads / "twin.jpg").hardlink_to(thynk.uploads / "photo.jpg")
    return thynk


def spoil(thynk):
    thynk.client.drop_database("thynk")
    thynk.db.later.insert_one({})
    shutil.rmtree(thynk.uploads / "folder")
    (thynk.uploads / "photo.jpg").write_text("spoilt")
    (thynk.uploads / "later").touch()
    thynk.env.write_text("SECRET=two\n")


def test_an_old_backup_is_listed_and_all_of_it_comes_back(filled, tmp_path):
    thynk, folder = filled, filled.source.app.backup_dir
    fill(thynk.db)
    good, files = fingerprint(thynk.db), without_times(thynk.uploads)
    path = script_s(thynk, tmp_path)
    before = tree(path)
    [listed] = old.everything(folder, "thynk")
    assert (listed.id, listed.kind, listed.verified_at) == (STAMP, "old", None)
    assert old.faults(old.at(folder, STAMP)) == []
    spoil(thynk)

    copy = adopt.chosen(thynk.source, STAMP, len)
    thynk.restore(copy)

    assert fingerprint(thynk.db) == good
    assert without_times(thynk.uploads) == files
    assert thynk.env.read_text() == "SECRET=one\n"
    assert (copy.id, copy.kind, copy.created_at[:10]) == (f"{STAMP}_2", "old", "2026-01-01")
    assert tree(path) == before
    # The copy goes in its turn; the script's own is never a candidate.
    newer = thynk.backup()
    [gone] = expired([newer, copy, copy], 1, 30, parse(newer.created_at), [])
    assert gone == copy
    assert catalogue.find(folder, "thynk") == newer


@pytest.mark.parametrize("packed", ["its-path", "its-content", "its-whole-path"])
def test_uploads_are_found_however_the_script_packed_them(filled, tmp_path, packed):
    thynk = filled
    files = without_times(thynk.uploads)
    script_s(thynk, tmp_path, packed)
    spoil(thynk)
    thynk.restore(adopt.chosen(thynk.source, STAMP, len), only="uploads")
    assert without_times(thynk.uploads) == files


def test_a_file_whose_copy_has_the_name_of_no_id_is_no_backup(thynk):
    folder = thynk.source.app.backup_dir
    folder.mkdir()
    (folder / "20260101_030000").mkdir()
    assert old.everything(folder, "thynk") == []
    for name in ("..", ".", "", None, "20260101_030000", "../backend"):
        assert old.at(folder, name) is None


def cut(path, _):
    path.write_bytes(path.read_bytes()[:-20])


def flip(path, _):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_the_tar(path, _):
    """As by a script whose disk was full: gzip is whole, tar ends at a member's end."""
    raw = gzip.decompress(path.read_bytes()).rstrip(b"\0")
    path.write_bytes(gzip.compress(raw + bytes(-len(raw) % 512)))


def without_metadata(path, _):
    repack(path, lambda one, data: None if one.name.endswith("c.metadata.json") else data)


def without_documents(path, _):
    repack(path, lambda one, data: None if one.name.endswith("c.bson") else data)


def torn_document(path, _):
    repack(path, lambda one, data: data[:-3] if one.name.endswith("c.bson") else data)


def odd_type(path, _):
    repack(path, lambda one, data: data.replace(b"\x10n\0", b"\x77n\0"))


def led_out(path, tmp_path):
    add(path, "../../evil")


def led_elsewhere(path, tmp_path):
    add(path, str(tmp_path / "evil"))


def repack(path, change):
    out = io.BytesIO()
    with tarfile.open(path) as there, tarfile.open(fileobj=out, mode="w:gz") as new:
        for one in there:
            data = there.extractfile(one).read() if one.isreg() else b""
            if (data := change(one, data)) is not None:
                one.size = len(data)
                new.addfile(one, io.BytesIO(data))
    path.write_bytes(out.getvalue())


def add(path, name):
    repack(path, lambda _, data: data)
    out = io.BytesIO(gzip.decompress(path.read_bytes()))
    with tarfile.open(fileobj=out, mode="a") as tar:
        tar.addfile(tarfile.TarInfo(name))
    path.write_bytes(gzip.compress(out.getvalue()))


DAMAGES = [
    ("mongodb", cut, "ends before its end"),
    ("uploads", cut, "ends before its end"),
    ("mongodb", flip, "could not be read"),
    ("mongodb", cut_the_tar, "ends before its end"),
    ("mongodb", without_metadata, "c.metadata.json is missing"),
    ("mongodb", without_documents, "c.bson is missing"),
    ("mongodb", torn_document, "ends inside a document"),
    ("mongodb", odd_type, "is no BSON"),
    ("uploads", led_out, "leads out of its folder"),
    ("uploads", led_elsewhere, "leads out of its folder"),
]


@pytest.mark.parametrize(("name", "damage", "how"), DAMAGES)
def test_a_damaged_old_backup_is_named_and_nothing_of_it_is_restored(
    filled, tmp_path, name, damage, how
):
    thynk, folder = filled, filled.source.app.backup_dir
    thynk.db.c.insert_many({"n": n} for n in range(100))
    path = script_s(thynk, tmp_path)
    damage(path / f"{name}-{STAMP}.tar.gz", tmp_path)
    thynk.db.c.delete_many({})
    live, files = fingerprint(thynk.db), tree(thynk.checkout)

    [fault] = old.faults(old.at(folder, STAMP))
    with pytest.raises(BackupError) as refused:
        adopt.chosen(thynk.source, STAMP, len)

    assert how in fault
    assert how in refused.value.message
    assert (fingerprint(thynk.db), tree(thynk.checkout)) == (live, files)
