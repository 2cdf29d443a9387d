"""Locks of Git: a person's stay where they are, and a killed Git's of ours go."""

import subprocess
import threading

import pytest

from tests.adapters.test_git import git, put
from worker.adapters.git import Checkout, Head
from worker.adapters.git_locks import MARK, at_work_in
from worker.clock import SystemClock
from worker.errors import UnavailableError


class Hasty(SystemClock):
    """A clock on which ten seconds are over at once."""

    def monotonic(self):
        return super().monotonic() * 100


@pytest.fixture
def checkout(tmp_path):
    git(tmp_path, "init", "--quiet", "--bare", "-b", "main", "origin.git")
    git(tmp_path, "clone", "--quiet", "origin.git", "dev")
    put(tmp_path / "dev", {"a": "1"})
    git(tmp_path, "clone", "--quiet", "origin.git", "checkout")
    put(tmp_path / "dev", {"a": "2"})
    return Checkout(tmp_path / "checkout", "main", str(tmp_path / "origin.git"), mark="test")


@pytest.fixture
def persons_git(checkout):
    """A `git commit` whose editor is open: it holds the index's lock meanwhile."""
    top = checkout.directory
    (top / "a").write_text("edited")
    opened = top.parent / "opened"
    wait = f"touch {opened}; while [ ! -e {opened}-and-done ]; do sleep 0.05; done"
    editor = f"sh -c '{wait}; echo mine >$0'"
    argv = ["git", "-c", f"core.editor={editor}", "-c", "user.name=t", "-c", "user.email=t@x"]
    child = subprocess.Popen([*argv, "commit", "-a"], cwd=top, start_new_session=True)
    while not opened.exists():
        assert child.poll() is None
    yield child
    if child.poll() is None:
        subprocess.run(["kill", "--", f"-{child.pid}"], check=True)
    child.wait()


def test_lock_of_a_living_git_is_named_with_its_process_and_stays(checkout, persons_git):
    lock = checkout.git_dir / "index.lock"
    assert lock.exists()
    checkout.fetch()
    (checkout.git_dir / MARK).touch()  # even if we died meanwhile
    (checkout.git_dir / "HEAD.lock").touch()

    with pytest.raises(UnavailableError, match=f"process {persons_git.pid}") as refusal:
        checkout.locks.wait(Hasty())

    assert str(lock) in refusal.value.message
    assert lock.exists()
    assert (checkout.git_dir / "HEAD.lock").exists()


def test_way_back_does_not_need_the_lock_that_a_person_holds(checkout, persons_git):
    """And the person's commit fails afterwards, as HEAD has moved."""
    old, new = checkout.head(), checkout.fetch()
    kept = checkout.local_changes("d1", without=[])
    checkout.move(kept, new, Head(new, old.ref), without=[])
    assert git(checkout.directory, "status", "--porcelain") == ""

    (checkout.directory.parent / "opened-and-done").touch()

    assert persons_git.wait() != 0
    assert checkout.head().revision == new
    assert (checkout.directory / "a").read_text() == "2"
    assert git(checkout.directory, "show", "refs/sheetanchor/d1:a") == "edited"


def test_lock_is_waited_for(checkout):
    lock = checkout.git_dir / "index.lock"
    lock.touch()
    threading.Timer(0.3, lock.unlink).start()

    checkout.locks.wait(SystemClock())

    assert not lock.exists()


def test_lock_of_a_dead_git_that_was_not_ours_stays_and_its_remedy_frees_the_way(checkout):
    lock = checkout.git_dir / "index.lock"
    lock.write_text("a person's")
    with pytest.raises(UnavailableError, match="one was killed") as refusal:
        checkout.locks.wait(Hasty())
    assert lock.read_text() == "a person's"

    command = refusal.value.remedy.partition("run `")[2].partition("`")[0]
    subprocess.run(command.split(), check=True)

    checkout.locks.wait(Hasty())


def test_what_a_killed_git_of_ours_left_goes(checkout):
    """The mark says that the locks of HEAD and the branch are ours."""
    old, new = checkout.head(), checkout.fetch()
    git_dir = checkout.git_dir
    left = ["HEAD.lock", "refs/heads/main.lock", "refs/sheetanchor/remote/main.lock"]
    left += [f"sheetanchor-index-head-{new}", f"sheetanchor-index-head-{new}.lock"]
    for name in [*left, MARK]:
        (git_dir / name).touch()

    checkout.fetch()
    checkout.move(old.revision, new, Head(new, old.ref), without=[])

    assert [name for name in [*left, MARK] if (git_dir / name).exists()] == []
    assert checkout.head() == Head(new, old.ref)


def test_git_in_another_folder_is_not_at_work_here(checkout, persons_git):
    assert at_work_in(checkout.directory)[0] == persons_git.pid
    assert at_work_in(checkout.directory.parent / "dev") == []
