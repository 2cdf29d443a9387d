"""Trees of files, read and changed without ever following a link inside them.

The danger is a path that does not lead where it seems to: an upload that is a link to
/etc, a folder that becomes one meanwhile. So a tree is opened once, at its top, and all
below is reached through folder descriptors with O_NOFOLLOW. Paths inside a tree are
relative, joined with `/`; names that are not UTF-8 keep their bytes (surrogateescape).
"""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import get_ident
from types import TracebackType
from typing import Self

from worker.adapters.files import (
    FILE,
    FOLDER,
    NEW,
    Stat,
    closing,
    listed_in,
    lstat_in,
    open_in,
    stat_of,
)


@dataclass(slots=True)
class Scan:
    """A tree as it was found: paths to stats; "" is the top. `skipped` holds no data.

    `mounts` are folders on another file system than the one they are in.
    """

    entries: dict[str, Stat] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)


class Tree:
    """A folder that is open: what is below it, without following links."""

    def __init__(self, top: Path) -> None:
        """Open `top`, which may itself be a link. Raises OSError."""
        self._top = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._near: dict[int, tuple[str, int]] = {}  # by thread: where it read last

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()
        os.close(self._top)

    def scan(self, ignored: str = "") -> Scan:
        """Return all that is there; what vanishes meanwhile is left out.

        `ignored` is a name, in whichever folder. Sockets, FIFOs and devices are skipped.
        """
        found = Scan()
        found.entries[""] = stat_of(self._top)
        self._scan("", found, ignored, os.fstat(self._top).st_dev)
        return found

    def stat(self, path: str) -> Stat:
        """Return what is at the path; "" is the top. Raises FileNotFoundError."""
        if not path:
            return stat_of(self._top)
        with self._parent(path) as (folder, name):
            return lstat_in(folder, name)

    def open(self, path: str) -> int:
        """Return a descriptor for reading a regular file, for the caller to close."""
        parent, _, name = path.rpartition("/")
        thread = get_ident()
        near = self._near.get(thread)
        if near is None or near[0] != parent or not _is_name(name):
            with self._parent(path) as (folder, _):
                self._near[thread] = parent, os.dup(folder)
            if near:
                os.close(near[1])
        return open_in(self._near[thread][1], name)

    def create(self, path: str, mode: int = 0o600) -> int:
        """Return a descriptor for writing a file that is not there yet."""
        with self._parent(path) as (folder, name):
            return os.open(name, NEW, mode, dir_fd=folder)

    def make_folder(self, path: str, mode: int = 0o700) -> None:
        """Make a folder; one that is there already is kept."""
        with self._parent(path) as (folder, name), contextlib.suppress(FileExistsError):
            os.mkdir(name, mode, dir_fd=folder)

    def make_link(self, path: str, target: str) -> None:
        """Make a symbolic link that is not there yet."""
        with self._parent(path) as (folder, name):
            os.symlink(target, name, dir_fd=folder)

    def swap_in(self, staged: str, path: str) -> None:
        """Let one file or link take the place of another at once; `sync` the folder later."""
        self._leave()
        with self._parent(staged) as (source, old), self._parent(path) as (folder, new):
            os.rename(old, new, src_dir_fd=source, dst_dir_fd=folder)

    def remove(self, path: str) -> None:
        """Remove a file, a link, or a folder with all that is in it."""
        self._leave()
        gone = contextlib.suppress(FileNotFoundError, NotADirectoryError)  # with its folder
        with gone, self._parent(path) as (folder, name):
            if lstat_in(folder, name).type == "dir":
                shutil.rmtree(name, dir_fd=folder)
            else:
                os.unlink(name, dir_fd=folder)

    def set_metadata(self, path: str, wanted: Stat) -> None:
        """Set owner, mode and modification time, of a link its own.

        The owner is set only by root; a file written by anybody else stays theirs.
        """
        if not path:
            _set_of_descriptor(self._top, wanted)
            return
        with self._parent(path) as (folder, name):
            if wanted.type == "link":
                _set_of_link(folder, name, wanted)
                return
            descriptor = os.open(name, FOLDER if wanted.type == "dir" else FILE, dir_fd=folder)
            with closing(descriptor):
                _set_of_descriptor(descriptor, wanted)

    def sync(self, path: str) -> None:
        """Return when a file, or a folder's list of names, is on disk."""
        if not path:
            os.fsync(self._top)
            return
        with self._parent(path) as (folder, name):
            descriptor = os.open(name, FILE, dir_fd=folder)
            with closing(descriptor):
                os.fsync(descriptor)

    def link_from(self, other: "Tree", parent: str, names: Iterable[str]) -> list[str]:
        """Make hard links to files of another tree, in the folder of the same path in this one.

        Returns the names of those that are made; not of what is gone, is there already, or
        has as many links as it may have (65,000).
        """
        made: list[str] = []
        parts = parent.split("/") if parent else []
        with (
            contextlib.suppress(OSError),
            other._folder(parts) as source,
            self._folder(parts) as folder,
        ):
            for name in names:
                with contextlib.suppress(OSError):
                    os.link(name, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
                    made.append(name)
        return made

    def free_bytes(self, path: str = "") -> int:
        """Return the free bytes of the file system that a folder of the tree is on."""
        with self._folder(path.split("/") if path else []) as folder:
            found = os.fstatvfs(folder)
        return found.f_bavail * found.f_frsize

    def _scan(self, path: str, found: Scan, ignored: str, around: int) -> None:
        folders = []
        with self._folder(path.split("/") if path else []) as folder:
            device = os.fstat(folder).st_dev
            found.mounts += [path] if device != around else []
            for name, seen in listed_in(folder):
                inner = f"{path}/{name}" if path else name
                if name == ignored:
                    continue
                if not seen.type:
                    found.skipped.append(inner)
                    continue
                found.entries[inner] = seen
                if seen.type == "dir":
                    folders.append(inner)
        for inner in folders:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self._scan(inner, found, ignored, device)

    def _leave(self) -> None:
        """Forget where was read last: another folder may have that name soon."""
        while self._near:
            os.close(self._near.popitem()[1][1])

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        *parents, name = path.split("/")
        if not all(map(_is_name, (*parents, name))):
            raise ValueError(f"{path!r} is not a path inside a tree")
        with self._folder(parents) as folder:
            yield folder, name

    @contextlib.contextmanager
    def _folder(self, parts: list[str]) -> Iterator[int]:
        folder = os.dup(self._top)
        try:
            for part in parts:
                inner = os.open(part, FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)


def _is_name(part: str) -> bool:
    """Return whether a part of a path stands for something in the folder before it."""
    return part not in ("", ".", "..") and "\0" not in part


def _set_of_descriptor(descriptor: int, wanted: Stat) -> None:
    if os.geteuid() == 0:
        os.fchown(descriptor, wanted.uid, wanted.gid)
    os.fchmod(descriptor, wanted.mode)  # after the owner: a chown clears set-id bits
    os.utime(descriptor, ns=(wanted.mtime_ns, wanted.mtime_ns))


def _set_of_link(folder: int, name: str, wanted: Stat) -> None:
    if os.geteuid() == 0:
        os.chown(name, wanted.uid, wanted.gid, dir_fd=folder, follow_symlinks=False)
    times = (wanted.mtime_ns, wanted.mtime_ns)
    os.utime(name, ns=times, dir_fd=folder, follow_symlinks=False)
