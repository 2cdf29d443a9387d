"""Reads each file of the backups once, in the course of reading many of them back.

They share what did not change, by hard links: the bytes of such a file are one backup's as
much as another's, and a month of backups is not read thirty times.
"""

import hashlib
from collections.abc import Iterator

from worker.adapters import files
from worker.adapters.files import closing
from worker.adapters.files_tree import Tree
from worker.backups import stream

Identity = tuple[int, int, int, int]  # of a file: the backups are in one file system
Examined = tuple[tuple[str, int], tuple[int, int, str]]  # of the packed file, of what is in it


class Reader:
    """Remembers what was read, by what stays equal as long as nobody writes to a file."""

    def __init__(self) -> None:
        self._hashes: dict[Identity, tuple[str, int]] = {}
        self._streams: dict[Identity, Examined] = {}

    def hash(self, tree: Tree, path: str) -> tuple[str, int]:
        """Return the SHA-256 and the bytes of a file."""
        with closing(tree.open(path)) as descriptor:
            key = files.stat_of(descriptor).identity
            if key not in self._hashes:
                self._hashes[key] = files.sha256(files.chunks(descriptor))
            return self._hashes[key]

    def examine(self, tree: Tree, path: str) -> Examined:
        """Return what `hash` does of a packed stream, and its documents, bytes and SHA-256.

        Raises BackupError for one that is no stream.
        """
        with closing(tree.open(path)) as descriptor:
            seen = files.stat_of(descriptor)
            if seen.identity not in self._streams:
                self._streams[seen.identity] = _examined(descriptor)
            return self._streams[seen.identity]


def _examined(descriptor: int) -> Examined:
    """Read a stream once: one thread hashes and decompresses it, another counts and hashes."""
    digest, size = hashlib.sha256(), 0

    def hashed() -> Iterator[bytes]:
        nonlocal size
        for part in files.chunks(descriptor):
            digest.update(part)
            size += len(part)
            yield part

    raw = stream.measure(stream.unpacked(hashed()))
    return (digest.hexdigest(), size), raw
