"""Git's lock files in a checkout: ours when we were killed, a person's otherwise.

A person's lock is never removed, dead or alive: what its Git was about to write
would be lost, or written over ours. It is waited for, then named. Ours are the
locks below `refs/sheetanchor/`, where nobody else writes, and those that appeared
while our mark stood in Git's folder; we never take the lock of the real index.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.clock import Clock
from worker.errors import UnavailableError

PATIENCE = 10.0  # seconds; Git itself holds a lock for milliseconds
PAUSE = 0.1  # seconds between two looks
MARK = "sheetanchor-moving"
DEEPEST = 64  # folders below the checkout in which a Git may stand


@dataclass(frozen=True)
class Locks:
    """The locks of one repository, as a deployment of the branch meets them."""

    directory: Path
    git_dir: Path
    branch: str

    @contextmanager
    def ours(self) -> Iterator[None]:
        """Mark that the refs' locks that appear during the block are ours."""
        mark = self.git_dir / MARK
        mark.touch()
        yield
        mark.unlink()  # not after an error: the Git that failed may have left one

    def clear_own(self) -> None:
        """Remove what a killed Git of ours left. The caller holds the app's lock."""
        for lock in (self.git_dir / "refs" / "sheetanchor").rglob("*.lock"):
            lock.unlink()
        for left in self.git_dir.glob("sheetanchor-index-*"):
            left.unlink()
        mark = self.git_dir / MARK
        if mark.exists() and not at_work_in(self.directory):
            for lock in self._of_refs():
                lock.unlink(missing_ok=True)
            mark.unlink()

    def wait(self, clock: Clock) -> None:
        """Return once nobody holds a lock that a deployment would meet.

        Raises UnavailableError naming them after 10 seconds.
        """
        deadline = clock.monotonic() + PATIENCE
        while True:
            self.clear_own()
            held = [lock for lock in self._all() if lock.exists()]
            if not held:
                return
            if clock.monotonic() > deadline:
                raise _refusal(held, at_work_in(self.directory))
            clock.sleep(PAUSE)

    def _of_refs(self) -> list[Path]:
        return [self.git_dir / "HEAD.lock", self.git_dir / f"refs/heads/{self.branch}.lock"]

    def _all(self) -> list[Path]:
        return [self.git_dir / "index.lock", *self._of_refs()]


def _refusal(held: list[Path], pids: list[int]) -> UnavailableError:
    locks = " ".join(map(str, held))
    if pids:
        return UnavailableError(
            f"Git is at work in the checkout (process {', '.join(map(str, pids))}) and holds"
            f" {locks}.",
            remedy="Let it end, then deploy again; `ps -fp PROCESS` shows what it is.",
        )
    return UnavailableError(
        f"{locks} is there, but no Git is at work in the checkout: one was killed.",
        remedy=f"Look at `git status` there, run `rm {locks}`, then deploy again.",
    )


def at_work_in(folder: Path) -> list[int]:
    """Return the ids of the Git processes that stand in a folder or below it.

    Also of those in a container that mounts it: folders are compared by inode.
    """
    top = folder.stat()
    processes = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return sorted(int(one.name) for one in processes if _is_git(one) and _stands_in(one, top))


def _is_git(process: Path) -> bool:
    try:
        return (process / "comm").read_text().startswith("git")
    except OSError:  # it ended while we looked
        return False


def _stands_in(process: Path, top: os.stat_result) -> bool:
    place, before = process / "cwd", None
    for _ in range(DEEPEST):
        try:
            here = place.stat()
        except OSError:  # it ended, or is not ours to see
            return False
        if os.path.samestat(here, top):
            return True
        if before and os.path.samestat(here, before):
            return False  # the root folder
        place, before = place / "..", here
    return False
