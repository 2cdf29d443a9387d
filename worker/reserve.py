"""Room for the last words: a file that is given up, in pieces, when the disk is full.

The danger is an end that cannot be written: a deployment that went well, or all the way
back, would be undone by whoever finds its journal open, and a head that cannot be decided
or put off is tried again at once, for ever. So 4 MiB are held beside the journals while
there is room. Who writes a journal or the decisions takes what it needs of them, 64 KiB
at a time, since whatever else fills the disk may take a piece, too. While the reserve is
not whole, no step forward is begun. Once all of it is used up, nothing is begun at all:
whoever tried would die of its first record, again and again.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from worker.errors import FullError

SIZE = 4 << 20  # bytes: a thousand refused deployments' journals
PIECE = 64 << 10
FULL = (errno.ENOSPC, errno.EDQUOT)

T = TypeVar("T")


@dataclass(frozen=True)
class Reserve:
    """The reserve file of one app."""

    path: Path

    def spend(self, write: Callable[[], T]) -> T:
        """Return what `write` does, once it has room; it must be able to begin anew.

        Raises FullError when the disk is full and nothing is left to give up.
        """
        while True:
            try:
                return write()
            except OSError as error:
                if error.errno not in FULL:
                    raise
                if not self._give_up():
                    raise used_up(self.path.parent) from error

    def judge(self) -> None:
        """Raise FullError unless a record can be written: a piece is there, or room for one."""
        if self._size() >= PIECE:
            return
        try:
            self._fill(PIECE)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise used_up(self.path.parent) from error

    def make_room(self) -> None:
        """Free half of it, for a way back that found the disk full; the rest is the journal's."""
        if self._size() > SIZE // 2:
            os.truncate(self.path, SIZE // 2)

    def refill(self) -> None:
        """Make it whole again. Raises FullError when there is no room for it."""
        if self._size() >= SIZE:
            return
        try:
            self._fill(SIZE)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise FullError(
                f"The disk of {self.path.parent} is full: a deployment could not be brought to"
                " its end there, nor back.",
                remedy="Free some space there; the head is then tried again.",
            ) from error

    def _fill(self, whole: int) -> None:
        """Add bytes that no file system packs; what was added stays if there is no room.

        It belongs to whom its folder belongs to: one is in the Git folder of another user.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o600)
        folder = self.path.parent.stat()
        try:
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
            while (missing := whole - os.fstat(descriptor).st_size) > 0:
                os.write(descriptor, os.urandom(min(missing, PIECE)))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _give_up(self) -> bool:
        """Free one piece; return False when nothing is left."""
        size = self._size()
        if size:
            os.truncate(self.path, max(0, size - PIECE))
        return bool(size)

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0


def used_up(folder: Path) -> FullError:
    """Return what is told of a disk on which not even the last words find room."""
    return FullError(
        f"The disk of {folder} is full, and what was held for an end is used up: nothing is"
        " deployed, and nothing that was left in the middle is gone on with.",
        remedy="Free some space there; all goes on by itself then.",
    )


def judge_disk(folder: Path) -> None:
    """Raise FullError when a folder's disk has no room for us. The folder need not be there yet.

    What a file system says is free may be somebody else's (root's, a quota's): so a file
    without a name asks for a piece, and is gone when this returns.
    """
    place = next(one for one in (folder, *folder.parents) if one.exists())
    try:
        descriptor = os.open(place, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in FULL:
            raise used_up(folder) from error
        return  # it is not for us to write there, and so not to judge
    try:
        os.posix_fallocate(descriptor, 0, PIECE)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise used_up(folder) from error
    finally:
        os.close(descriptor)
