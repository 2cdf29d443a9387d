"""A disk of its own for what a test fills up: ext4, as most servers have it."""

import os
import subprocess
from contextlib import contextmanager

from tests.test_reserve import fill

SPARE = 4 << 20  # bytes that the first filler leaves to the second, which is slower


@contextmanager
def mounted(folder, size):
    """Have a disk of so many bytes at a folder."""
    folder.mkdir(parents=True)
    image = folder.with_name(f"{folder.name}.disk")
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        image.unlink()


@contextmanager
def full(disk):
    """Leave not a byte free on a disk."""
    there, first = os.statvfs(disk), disk / "filler"
    with first.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, there.f_bavail * there.f_frsize - SPARE))
    fillers = [first, fill(disk)]
    try:
        yield
    finally:
        for one in fillers:
            one.unlink()
