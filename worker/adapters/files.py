"""Files: what they are, their hashes, and writing them so that a crash cannot halve them.

`worker.adapters.files_tree` walks and changes whole trees with these.
"""

import contextlib
import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

CHUNK = 1 << 20  # bytes
BEGINS_EVERY = 8 << 20  # bytes
RACY_NS = 2_000_000_000  # the coarsest step of file times
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a FIFO that took a file's place must not hold us for ever.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
ME, MY_GROUP = os.geteuid(), os.getegid()
Sink = Callable[[bytes], object]
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}


class Stat(NamedTuple):
    """What lstat says of a file, folder or link; times in nanoseconds.

    A tuple: of 20,000 files there are 100,000 in a backup's course.
    """

    type: str  # file, dir, link; "" for anything else
    size: int
    mode: int  # permission bits
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    target: str = ""

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """Return what stays equal as long as nobody writes to a file.

        What is written through a memory map shows only when the kernel notices.
        """
        return self.size, self.mtime_ns, self.ctime_ns, self.inode


@contextlib.contextmanager
def closing(descriptor: int) -> Iterator[int]:
    """Close a descriptor at the end."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def stat_of(descriptor: int) -> Stat:
    """Return what is open."""
    return _stat_of(os.fstat(descriptor))


def just_written(found: Stat) -> bool:
    """Return whether a file's times are too young to show a further write.

    File times move in steps (10 ms on ext4, up to 2 s elsewhere): within one, a second
    write of the same size leaves no trace.
    """
    return time.time_ns() - max(found.mtime_ns, found.ctime_ns) < RACY_NS


def open_followed(path: Path) -> int:
    """Return a descriptor for reading; the path may be a link, for a person configured it."""
    return os.open(path.resolve(strict=True), FILE)


def chunks(descriptor: int) -> Iterator[bytes]:
    """Yield what is left of an open file."""
    while chunk := os.read(descriptor, CHUNK):
        yield chunk


def sha256(parts: Iterable[bytes], write: Sink = len) -> tuple[str, int]:
    """Return the SHA-256 in hex, and the bytes; each part is handed to `write` as well."""
    digest, size = hashlib.sha256(), 0
    for part in parts:
        digest.update(part)
        size += len(part)
        write(part)
    return digest.hexdigest(), size


def sha256_of(path: Path) -> tuple[str, int]:
    """Return the SHA-256 in hex, and the bytes, of a regular file. Raises OSError."""
    with closing(os.open(path, FILE)) as descriptor:
        return sha256(chunks(descriptor))


def write_all(descriptor: int) -> Sink:
    """Return a function that writes all of what it is given."""

    def write(part: bytes) -> None:
        view = memoryview(part)
        while view:
            view = view[os.write(descriptor, view) :]

    return write


def write_through(descriptor: int) -> Sink:
    """Return a function like `write_all`'s, for a big file that nobody has read or written yet.

    The disk begins with each part as it comes, so that syncing it has little left to do:
    without that the kernel begins when it has gigabytes of it (its manual, `dirty_ratio`).
    """
    write_it, size, begun = write_all(descriptor), 0, 0

    def write(part: bytes) -> None:
        nonlocal size, begun
        write_it(part)
        size += len(part)
        if size - begun >= BEGINS_EVERY:
            os.posix_fadvise(descriptor, begun, size - begun, os.POSIX_FADV_DONTNEED)
            begun = size

    return write


def write(
    path: Path, content: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None
) -> None:
    """Write a file so that it is there whole, on disk, or not at all.

    `owner` (user and group) is given by root only.
    """
    staged = path.with_name(f".{path.name}.new")
    staged.unlink(missing_ok=True)
    with closing(os.open(staged, NEW, mode)) as descriptor:
        write_all(descriptor)(content)
        if owner and ME == 0:
            os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)  # whatever the umask says
        os.fsync(descriptor)
    staged.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Return when the file or folder is on disk."""
    with closing(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)) as descriptor:
        os.fsync(descriptor)


def sync_all(paths: Iterable[Path]) -> None:
    """Return when all are on disk; eight at a time share the disk's journal (measured: 2x)."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(sync, paths))


def open_in(folder: int, name: str) -> int:
    """Return a descriptor for reading what a name in an open folder stands for.

    Of a file on which a server holds a lease (Samba's oplocks), `O_NONBLOCK` is refused:
    then the lease is waited for, `/proc/sys/fs/lease-break-time` seconds at most, and only
    if it is a regular file, for a FIFO would hold us for ever.
    """
    try:
        return os.open(name, FILE, dir_fd=folder)
    except BlockingIOError:
        with closing(os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)) as at:
            if not stat.S_ISREG(os.fstat(at).st_mode):
                raise
            return os.open(f"/proc/self/fd/{at}", os.O_RDONLY | os.O_CLOEXEC)


def lstat_in(folder: int, name: str) -> Stat:
    """Return what a name in an open folder stands for."""
    return _named(folder, name, os.stat(name, dir_fd=folder, follow_symlinks=False))


def listed_in(folder: int) -> Iterator[tuple[str, Stat]]:
    """Yield the names in an open folder, sorted, and what they stand for; none that vanished."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        try:
            yield entry.name, _named(folder, entry.name, entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            continue


def _named(folder: int, name: str, found: os.stat_result) -> Stat:
    while stat.S_ISLNK(found.st_mode):
        try:
            return _stat_of(found, os.readlink(name, dir_fd=folder))
        except OSError as error:
            if error.errno != errno.EINVAL:  # readlink(2): it is no link
                raise
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)  # any more
    return _stat_of(found)


def _stat_of(found: os.stat_result, target: str = "") -> Stat:
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), "")
    return Stat(
        kind,
        found.st_size if kind == "file" else 0,
        stat.S_IMODE(found.st_mode),
        found.st_uid,
        found.st_gid,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_ino,
        target,
    )
