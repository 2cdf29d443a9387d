"""Uploads come back byte for byte, into the folder that is there, and nowhere else."""

import contextlib
import ctypes
import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.backups.support import tree
from worker.adapters.files_tree import Tree
from worker.backups.difference import difference
from worker.backups.verify import verify
from worker.errors import BackupError, RestoreError


@pytest.fixture
def plain(thynk):
    return thynk.without_mongo()


def fill(top):
    """Files as people and programs really leave them."""
    (top / "empty").touch()
    (top / "big").write_bytes(os.urandom(3 << 20))
    (top / "ünïcödé 漢字 .jpg").write_text("u")
    (top / "-rf").write_text("dash")
    (top / "new\nline").write_text("n")
    (top / os.fsdecode(b"latin-\xe9\xff")).write_bytes(b"not UTF-8")
    (top / os.fsdecode(b"folder-\xe9")).mkdir()
    (top / "a/b/c").mkdir(parents=True)
    (top / "a/b/c/deep").write_text("deep")
    (top / "a/empty folder").mkdir()
    (top / "private").write_text("p")
    (top / "private").chmod(0o600)
    (top / "script").write_text("#!/bin/sh")
    (top / "script").chmod(0o4755)
    (top / "a").chmod(0o2770)
    os.chown(top / "private", 1001, 1002)
    os.chown(top / "a/b", 33, 33)
    (top / "link").symlink_to("private")
    (top / "dangling").symlink_to("/nowhere/at/all")
    (top / "to a folder").symlink_to("/etc")
    os.lchown(top / "link", 1001, 1002)
    os.utime(top / "private", ns=(1, 1_234_567_890_123_456_789))
    os.utime(top / "a/b", ns=(1, 1_000_000_000_000_000_001))


def test_everything_comes_back_after_all_of_it_was_lost(plain):
    fill(plain.uploads)
    before, backup, inode = tree(plain.uploads), plain.backup(), plain.uploads.stat().st_ino
    for path in plain.uploads.iterdir():
        _remove(path)
    plain.restore(backup)
    assert tree(plain.uploads) == before
    assert plain.uploads.stat().st_ino == inode  # the bind mount's
    assert not difference(plain.source, backup.manifest())


def test_everything_comes_back_after_all_of_it_was_changed(plain):
    top = plain.uploads
    fill(top)
    before, backup = tree(top), plain.backup()
    inode = (top / "big").stat().st_ino
    (top / "empty").write_text("no more")
    _remove(top / "a")
    (top / "a").write_text("a file where a folder was")
    (top / "private").unlink()
    (top / "private").mkdir()
    (top / "private/inside").touch()
    (top / "link").unlink()
    (top / "link").symlink_to("elsewhere")
    (top / "script").chmod(0o644)
    (top / "added/folder").mkdir(parents=True)
    (top / "added/folder/file").touch()
    (top / "photo.jpg").unlink()
    (top / "photo.jpg").symlink_to("/etc/passwd")
    plain.restore(backup)
    assert tree(top) == before
    assert (top / "big").stat().st_ino == inode  # unchanged files stay


def test_a_folder_that_is_gone_altogether_is_made_again(plain):
    fill(plain.uploads)
    before, backup = tree(plain.uploads), plain.backup()
    _remove(plain.uploads)
    plain.restore(backup)
    assert tree(plain.uploads) == before


def test_only_owner_mode_and_time_are_mended_where_the_content_is_equal(plain):
    photo = plain.uploads / "photo.jpg"
    backup, inode, before = plain.backup(), photo.stat().st_ino, tree(plain.uploads)
    photo.chmod(0o600)
    os.chown(photo, 5, 6)
    photo.touch()
    result = plain.restore(backup)
    assert [str(change) for change in result.difference.uploads] == [
        "uploads/backend/uploads/photo.jpg (metadata)"
    ]
    assert photo.stat().st_ino == inode
    assert tree(plain.uploads) == before


def test_a_link_in_place_of_a_folder_leads_nowhere(plain, tmp_path):
    outside = tmp_path / "outside"
    (outside / "inner").mkdir(parents=True)
    (outside / "inner/file").write_text("precious")
    (plain.uploads / "folder/inner").mkdir(parents=True)
    (plain.uploads / "folder/inner/file").write_text("ours")
    backup = plain.backup()
    _remove(plain.uploads / "folder")
    (plain.uploads / "folder").symlink_to(outside)
    plain.restore(backup)
    assert (plain.uploads / "folder/inner/file").read_text() == "ours"
    assert not (plain.uploads / "folder").is_symlink()
    assert (outside / "inner/file").read_text() == "precious"


def test_a_tree_is_never_left_through_a_link_or_a_path(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("precious")
    top = tmp_path / "top"
    top.mkdir()
    (top / "out").symlink_to(tmp_path / "outside")
    with Tree(top) as opened:
        opened.remove("out/file")
        for path in ("out/file", "out/new", "out"):
            with pytest.raises(OSError):  # noqa: PT011 - ENOTDIR or ELOOP
                opened.open(path)
        with pytest.raises(NotADirectoryError):
            opened.create("out/new")
        for path in ("../outside/file", "/etc/passwd", "a/../../outside", "", "a//b", "."):
            with pytest.raises(ValueError, match="is not a path inside a tree"):
                opened.open(path)
    assert (tmp_path / "outside/file").read_text() == "precious"
    assert len(list((tmp_path / "outside").iterdir())) == 1


def test_what_a_link_leads_to_is_not_saved(plain, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (plain.uploads / "link").symlink_to(tmp_path / "secret")
    backup = plain.backup()
    assert (backup.path / "uploads/backend/uploads/link").is_symlink()


def test_sockets_and_fifos_are_skipped_named_and_left_alone(plain, monkeypatch):
    monkeypatch.chdir(plain.uploads)  # a socket's path has 107 bytes at most
    os.mkfifo(plain.uploads / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        backup = plain.backup()
    assert len([each for each in backup.warnings if "not saved" in each]) == 2
    plain.restore(backup)
    assert (plain.uploads / "fifo").exists()


@pytest.mark.parametrize("path", ["/etc/evil", "uploads/backend/uploads/../../../../evil", ""])
def test_a_manifest_that_leads_outside_is_refused(plain, path):
    from worker.backups import manifest as manifests  # noqa: PLC0415

    backup = plain.backup()
    found = manifests.read(backup.path)
    files = [
        one._replace(path=path) if one.path.endswith("photo.jpg") else one for one in found.files
    ]
    manifests.write(backup.path, replace(found, files=files))
    with pytest.raises(BackupError):
        verify(backup.path)
    with pytest.raises((BackupError, RestoreError)):
        plain.restore(backup)


LEASE = """
import fcntl, os, signal, sys
held = os.open(sys.argv[1], os.O_RDWR)
signal.signal(signal.SIGIO, lambda *_: fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK))
fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("leased", flush=True)
sys.stdin.read()
"""


def test_a_file_that_a_file_server_holds_a_lease_on_is_saved(plain):
    """As Samba does for its clients; such a file cannot be opened without waiting."""
    photo = plain.uploads / "photo.jpg"
    photo.write_text("leased")
    argv = [sys.executable, "-c", LEASE, str(photo)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"leased\n"
        backup = plain.backup()
        holder.stdin.close()
    assert (backup.path / "uploads/backend/uploads/photo.jpg").read_text() == "leased"


@contextlib.contextmanager
def without_root_s_rights():
    """Read as one who is root in name only, as on a network file system that knows no root."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, caps = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, caps) == 0
    effective = caps[0]
    caps[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, caps) == 0
    try:
        yield
    finally:
        caps[0] = effective
        assert libc.capset(header, caps) == 0


@pytest.mark.parametrize("locked", ["photo.jpg", "a/b", ""])
def test_what_cannot_be_read_is_never_left_out(plain, locked):
    """A restore would take it for new, and remove it."""
    (plain.uploads / "a/b").mkdir(parents=True)
    path = plain.uploads / locked
    mode = path.stat().st_mode
    path.chmod(0)
    with without_root_s_rights(), pytest.raises(BackupError, match="Permission denied"):
        plain.backup()
    path.chmod(mode)
    assert not list(plain.source.app.backup_dir.glob("*"))


def test_uploads_that_are_a_link_in_the_checkout_are_saved_where_they_lead(plain, tmp_path):
    real = tmp_path / "disk/uploads"
    real.parent.mkdir()
    plain.uploads.rename(real)
    plain.uploads.symlink_to(real)
    before, backup = tree(real), plain.backup()
    (real / "photo.jpg").unlink()
    plain.restore(backup)
    assert tree(real) == before
    assert plain.uploads.is_symlink()


def test_a_folder_that_is_not_there_yet_is_no_reason_to_fail(plain):
    _remove(plain.uploads)
    backup = plain.backup()
    assert backup.warnings == (
        "backend/uploads was not there to be saved (No such file or directory).",
    )
    plain.uploads.mkdir()
    (plain.uploads / "of the new version").touch()
    plain.restore(backup)
    assert list(plain.uploads.iterdir()) == []


def test_files_outside_the_checkout_and_linked_ones_are_config_files_too(plain, tmp_path):
    elsewhere, real = tmp_path / "etc.env", tmp_path / "real.env"
    elsewhere.write_text("E=1")
    plain.env.rename(real)
    plain.env.symlink_to(real)
    app = replace(plain, source=replace(plain.source, config_files=(plain.env, elsewhere)))
    backup = app.backup()
    elsewhere.write_text("E=2")
    real.write_text("R=2")
    app.restore(backup)
    assert (elsewhere.read_text(), real.read_text()) == ("E=1", "SECRET=one\n")
    assert plain.env.is_symlink()


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        for inner in path.iterdir():
            _remove(inner)
        path.rmdir()
    else:
        path.unlink()
