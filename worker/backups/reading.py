"""Keeps a backup while it is read: nobody removes what somebody reads.

A restore holds the app's lock, and so does retention. But `verify` and `drill` read for
minutes, and must not hold up deployments. So whoever reads a backup holds a shared lock
on its manifest, and whoever removes one needs that lock alone; both die with their
process. The manifest is the last file that a removal takes, and is never replaced.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.backups import manifest as manifests
from worker.errors import BusyError, NotFoundError


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Keep the backup where it is. Raises NotFoundError when it is gone, or just going."""
    with _locked(folder, os.O_RDONLY, fcntl.LOCK_SH) as inode:
        if not inode or _inode(folder) != inode:
            raise NotFoundError(
                f"The backup {folder.name} is not there any more.",
                remedy="Name another one, `sheetanchor backups` lists them.",
            )
        yield


@contextmanager
def removing(folder: Path) -> Iterator[None]:
    """Have the backup alone. Raises BusyError while somebody reads it."""
    # Writable: a network file system's locks ask for that, if nobody else may have one.
    with _locked(folder, os.O_RDWR, fcntl.LOCK_EX) as inode:
        if not inode:
            raise BusyError(f"{folder.name} is being read.", remedy="Wait for that to end.")
        yield


@contextmanager
def _locked(folder: Path, access: int, kind: int) -> Iterator[int]:
    """Yield the inode of the manifest that is locked; 0 when it is not to be had now."""
    try:
        descriptor = os.open(folder / manifests.NAME, access | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        yield 0
        return
    try:
        yield os.fstat(descriptor).st_ino if _taken(descriptor, kind) else 0
    finally:
        os.close(descriptor)


def _taken(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _inode(folder: Path) -> int:
    try:
        return (folder / manifests.NAME).stat().st_ino
    except FileNotFoundError:
        return 0
