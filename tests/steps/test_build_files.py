"""Untracked files that the build needs get into its folder as they are, and nowhere else."""

import os
from types import SimpleNamespace

import pytest

from worker.errors import GuardError
from worker.steps import build_files


@pytest.fixture
def attempt(tmp_path):
    """A checkout, and the export of a revision that has a file and a link of its own."""
    checkout, work = tmp_path / "checkout", tmp_path / "work"
    for folder in (checkout, work, tmp_path / "outside"):
        folder.mkdir()
    (checkout / "key").write_text("of this host")
    (checkout / "conf" / "inner").mkdir(parents=True)
    (checkout / "conf" / "inner" / "a").write_text("a")
    (checkout / "conf" / "tracked").write_text("old")
    (checkout / "conf" / "link").symlink_to("inner/a")
    (work / "conf").mkdir()
    (work / "conf" / "tracked").write_text("new")
    said = []
    app = SimpleNamespace(name="shop", checkout=checkout, build_files=("key", "conf"))
    return SimpleNamespace(app=app, work=work, say=said.append, said=said)


def test_files_and_folders_keep_mode_and_owner_whatever_the_umask(attempt):
    source = attempt.app.checkout
    (source / "key").chmod(0o640)
    (source / "conf" / "inner").chmod(0o755)
    os.chown(source / "key", 1234, 1235)
    before = os.umask(0o077)
    try:
        build_files.put(attempt)
    finally:
        os.umask(before)

    about = (attempt.work / "key").stat()
    assert (about.st_mode & 0o777, about.st_uid, about.st_gid) == (0o640, 1234, 1235)
    assert (attempt.work / "conf" / "inner").stat().st_mode & 0o777 == 0o755
    assert (attempt.work / "conf" / "inner" / "a").read_text() == "a"
    assert (attempt.work / "conf" / "link").readlink().name == "a"


def test_what_the_revision_has_itself_is_built(attempt):
    build_files.put(attempt)

    assert (attempt.work / "conf" / "tracked").read_text() == "new"
    assert [line for line in attempt.said if "conf/tracked" in line]


def test_missing_one_is_named_with_its_key_and_path(attempt):
    (attempt.app.checkout / "key").unlink()

    with pytest.raises(GuardError, match=r"apps\.shop\.build_files: .*/checkout/key does not"):
        build_files.put(attempt)


@pytest.mark.parametrize("link", ["conf", "conf/inner"])
def test_nothing_is_written_through_a_link_of_the_revision(attempt, tmp_path, link):
    attempt.app.build_files = ("conf/inner/a",) if link == "conf" else ("conf",)
    (attempt.work / "conf" / "tracked").unlink()
    (attempt.work / "conf").rmdir()
    (attempt.work / link).parent.mkdir(exist_ok=True)
    (attempt.work / link).symlink_to(tmp_path / "outside")

    with pytest.raises(GuardError, match=f"{link} is no folder in the revision"):
        build_files.put(attempt)

    assert list((tmp_path / "outside").iterdir()) == []


def test_fifo_is_refused_and_not_read(attempt):
    os.mkfifo(attempt.app.checkout / "conf" / "pipe")

    with pytest.raises(GuardError, match="conf/pipe is no file, folder or link"):
        build_files.put(attempt)
