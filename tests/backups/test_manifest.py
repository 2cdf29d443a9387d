"""The manifest on disk: a line a file, whatever the file is called."""

import json

import pytest

from worker.backups import manifest as manifests
from worker.backups.manifest import FileEntry, Manifest
from worker.errors import BackupError

NAMES = ["plain", '}, {"path": "x"', '",\\', "new\nline,\n", "\udcff", "ü"]


def entry(name):
    return FileEntry(
        path=f"uploads/{name}", type="file", size=1, mode=0o600, uid=0, gid=0,
        mtime_ns=2, ctime_ns=3, inode=4, sha256="5",
    )  # fmt: skip


def a_manifest(**fields):
    return Manifest(**{
        "format": 1, "app": "a", "id": "i", "kind": "manual", "why": "", "deployment": None,
        "revision": None, "images": {}, "created_at": "", "finished_at": "", "verified_at": None,
        "one_moment": True, "one_moment_why": "", "made_with": {}, "server": {}, "databases": {},
        "uploads": [], "files": [], "warnings": [], "bytes": 0, **fields,
    })  # fmt: skip


def test_every_name_comes_back_and_each_file_has_a_line(tmp_path):
    wanted = a_manifest(files=[entry(name) for name in NAMES])
    manifests.write(tmp_path, wanted)
    assert manifests.read(tmp_path) == wanted
    text = (tmp_path / manifests.NAME).read_text()
    lines = [line for line in text.splitlines() if line.startswith('{"path": ')]
    assert [json.loads(line.rstrip(","))["path"] for line in lines] == [
        f"uploads/{name}" for name in NAMES
    ]


def test_without_files_it_is_read_again(tmp_path):
    manifests.write(tmp_path, a_manifest())
    assert manifests.read(tmp_path) == a_manifest()


def test_a_field_of_another_type_is_found(tmp_path):
    one = entry("plain")._replace(size="1")
    manifests.write(tmp_path, a_manifest(files=[one]))
    with pytest.raises(BackupError, match="size is '1'"):
        manifests.read(tmp_path)
