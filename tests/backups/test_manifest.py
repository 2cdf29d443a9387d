"""The manifest on disk: a line a file, whatever it is called, read when somebody asks for it."""

import hashlib
import json
from dataclasses import replace

import pytest

from worker.backups import manifest as manifests
from worker.backups.catalogue import Backup
from worker.backups.file_list import FileEntry, Files
from worker.backups.manifest import Manifest
from worker.errors import BackupError

# fmt: off
NAMES = ["plain", '}, {"path": "x"', '",\\', "new\nline,\n", "\udcff", "ü", "\x7f\t\\", "😀",
         '", "type": "file", ', "\\", '\n"files": [\n', ""]
# fmt: on
SHA256 = "5" * 64


def entry(name):
    return FileEntry(
        path=f"uploads/{name}", type="file", size=1, mode=0o600, uid=0, gid=0,
        mtime_ns=2, ctime_ns=3, inode=4, sha256=SHA256,
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


@pytest.fixture
def parsed(monkeypatch):
    """The texts that were parsed as JSON."""
    texts, loads = [], json.loads
    monkeypatch.setattr(json, "loads", lambda text: texts.append(text) or loads(text))
    return texts


def sealed(folder, text):
    """Write a text as a manifest, with the checksum that makes it one."""
    zeroed = text[: -len('"\n}\n') - 64] + "0" * 64 + '"\n}\n'
    digest = hashlib.sha256(zeroed.encode()).hexdigest()
    (folder / manifests.NAME).write_text(digest.join(zeroed.rsplit("0" * 64, 1)))


def several():
    """Return a manifest with files of all types and of all numbers that a file can have."""
    link = entry("link")._replace(type="link", sha256="", target='to "there"', racy=True)
    odd = entry("odd")._replace(size=0, mtime_ns=-(2**62), ctime_ns=2**63, inode=2**64 - 1)
    return a_manifest(files=[entry("a"), link, odd, entry("top")._replace(type="dir", sha256="")])


def test_what_nobody_asks_for_is_not_parsed(tmp_path, parsed):
    wanted = several()
    manifests.write(tmp_path, wanted)
    found = manifests.read(tmp_path)
    assert Backup.of(tmp_path, found).files == 2
    assert parsed
    assert not any(b"uploads/" in text for text in parsed)
    assert found.files_by_path() == {one.path: one for one in wanted.files}
    assert found == wanted


def test_files_are_put_into_words_once_however_often_they_are_written(tmp_path, monkeypatch):
    manifests.write(tmp_path, several())
    texts, dumps = [], json.dumps
    monkeypatch.setattr(json, "dumps", lambda value: texts.append(dumps(value)) or texts[-1])
    again = replace(manifests.read(tmp_path), verified_at="now")
    manifests.write(tmp_path, again)
    assert not any("uploads/" in text for text in texts)
    assert manifests.read(tmp_path) == replace(several(), verified_at="now")


def test_what_an_earlier_manifest_has_in_words_is_taken_from_it(tmp_path, monkeypatch):
    manifests.write(tmp_path, several())
    earlier = manifests.read(tmp_path).files
    new = entry("new")
    wanted = [new, earlier[2], *earlier[:2], earlier[1]._replace(size=7)]
    texts, dumps = [], json.dumps
    monkeypatch.setattr(json, "dumps", lambda value: texts.append(dumps(value)) or texts[-1])
    assert Files(wanted, earlier).text == b",\n".join(Files([one]).text for one in wanted)
    assert [text.count("uploads/") for text in texts] == [2, 1, 1, 1, 1, 1]
    assert Files([], earlier).text == Files([]).text == b""


@pytest.mark.parametrize("layout", [{"indent": 1}, {"separators": (",", ":")}])
def test_a_manifest_of_another_layout_is_read_as_well(tmp_path, layout):
    manifests.write(tmp_path, several())
    body = json.loads((tmp_path / manifests.NAME).read_bytes())
    del body["checksum"]
    text = json.dumps(body, **layout).removesuffix("}").rstrip()
    sealed(tmp_path, text + ',\n"checksum": "' + "0" * 64 + '"\n}\n')
    assert manifests.read(tmp_path) == several()
    assert Backup.of(tmp_path, manifests.read(tmp_path)).files == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"size": 1', '"size": "1"'),
        ('"size": 1', '"size": 1.0'),
        ('"size": 1', '"size": 01'),
        ('"size": 1', '"size": null'),
        ('"size": 1', '"size": 1' + "0" * 5000),
        ('"size": 1', '"large": 1'),
        ('"size": 1, ', ""),
        ('"racy": false', '"racy": 0'),
        ('"uploads/a"', "7"),
        ('"uploads/a"', '"uploads/\n"'),
        ('"uploads/a"', '"uploads/\\x"'),
        (SHA256, '5", "extra": "'),
        ('{"path": "uploads/a"', '["path", "uploads/a"'),
        ('{"path": "uploads/a"', '["uploads/a"], {"path": "uploads/a"'),
        ('"files": [', '"files": [' + "[" * 100_000),
        ('"files": [', '"files": {'),
        ('"files": [', '"file": ['),
        ("\n],\n", '\n],\n"files": 7,\n'),
        ('"uploads": [],', '"uploads": [], "nested": {'),
        ('"uploads": [],', '"uploads": ['),
        ("\n],\n", "\n]],\n"),
    ],
    ids=range(21),
)
def test_a_forged_manifest_with_a_right_checksum_and_a_wrong_field_is_found(tmp_path, old, new):
    manifests.write(tmp_path, several())
    text = (tmp_path / manifests.NAME).read_text()
    assert old in text
    sealed(tmp_path, text.replace(old, new, 1))
    with pytest.raises(BackupError, match="has a wrong field"):
        manifests.read(tmp_path)
