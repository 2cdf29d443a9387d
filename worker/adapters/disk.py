"""Space on disks, and who owns a folder."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path


def tree_bytes(folder: Path) -> int:
    """Return the bytes that the files below a folder take, or a copy of them would.

    A sparse file is copied whole. 0 when the folder is not there.
    """
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                found = os.lstat(Path(place) / name)
                total += max(found.st_blocks * 512, found.st_size)
            except FileNotFoundError:  # the app removed it while we looked
                continue
    return total


def count_files(folder: Path) -> int:
    """Return how many files are below a folder; 0 when it is not there."""
    return sum(len(names) for _, _, names in os.walk(folder))


def files_below(folder: str) -> Iterator[str]:
    """Yield the paths of the files and links below a folder; none when it is not there."""
    for place, _, names in os.walk(folder):
        yield from (f"{place}/{name}" for name in names)


def free_bytes(folder: Path) -> int:
    """Return what is free where a folder is, or will be made."""
    return shutil.disk_usage(_nearest(folder)).free


def total_bytes(folder: Path) -> int:
    """Return how large the file system of a folder is."""
    return shutil.disk_usage(_nearest(folder)).total


def is_ours(folder: Path) -> bool:
    """Return whether a folder is there, and this process may make files in it."""
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def device(folder: Path) -> int:
    """Return which file system a folder is on, or will be made on."""
    return _nearest(folder).stat().st_dev


def _nearest(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.exists())


def chown(path: Path, uid: int, gid: int) -> None:
    """Give a file, folder or link (itself) to this user."""
    os.lchown(path, uid, gid)
