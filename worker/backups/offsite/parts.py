"""A backup as one tar stream in parts: what a place without modes and links can keep.

The same backup always becomes the same parts, whose names hold their hashes: so a push
that was interrupted sees by names and sizes what is there already. At most one part is on
this host's disk at a time. Unpacking follows no link and makes files, folders and links
only; owners and modes are set from the manifest afterwards.
"""

import hashlib
import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from worker.adapters import files
from worker.adapters.files import CHUNK, Stat, closing
from worker.adapters.files_tree import Tree
from worker.backups.offsite.card import Part
from worker.backups.verify import RECORD
from worker.errors import BackupError

SIZE = 64 << 20  # bytes of a part
NOT_SENT = (RECORD, f".{RECORD}.new")  # when it was read back last is this host's matter
KINDS = ("sha256", "sha1", "md5")  # one of which most clouds know

Hashes = dict[str, str]
Say = Callable[[str], None]
Put = Callable[[Path, Part, Hashes], None]
_TYPES = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}


class Cutter(io.RawIOBase):
    """Cuts what is written to it into parts, and hands each to `put` with its hashes."""

    def __init__(self, scratch: Path, put: Put, size: int) -> None:
        super().__init__()
        self._path = scratch / "part"
        self._put = put
        self._size = size
        self._given_up = False
        self.parts: list[Part] = []
        self._begin()

    def write(self, data: Any) -> int:
        """Take all of it; nothing once `put` has failed, for tarfile writes at its close, too."""
        view = memoryview(b"" if self._given_up else data)
        while view:
            piece = view[: self._size - self._written]
            self._file.write(piece)
            for one in self._hashes.values():
                one.update(piece)
            self._written += len(piece)
            view = view[len(piece) :]
            if self._written == self._size:
                self._end()
                self._begin()
        return len(data)

    def finish(self) -> tuple[Part, ...]:
        """Hand over what is left; return all parts."""
        self._end()
        return tuple(self.parts)

    def discard(self) -> None:
        """Remove the part that is under way."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _begin(self) -> None:
        self._file = self._path.open("wb")
        self._hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in KINDS}
        self._written = 0

    def _end(self) -> None:
        self._file.close()
        if self._written:
            hashes = {kind: one.hexdigest() for kind, one in self._hashes.items()}
            name = f"part-{len(self.parts):05d}-{hashes['sha256']}.tar"
            part = Part(name, self._written, hashes["sha256"])
            self._given_up = True
            self._put(self._path, part, hashes)
            self._given_up = False
            self.parts.append(part)
        self._path.unlink()


def pack(folder: Path, scratch: Path, put: Put, size: int | None = None) -> tuple[Part, ...]:
    """Cut a backup's folder into parts; `put` has each for as long as it takes."""
    cutter = Cutter(scratch, put, size or SIZE)
    try:
        with (
            Tree(folder) as tree,
            tarfile.open(
                fileobj=cutter,
                mode="w|",
                format=tarfile.GNU_FORMAT,
                bufsize=CHUNK,
                encoding="utf-8",
                errors="surrogateescape",
            ) as tar,
        ):
            for path, seen in tree.scan().entries.items():
                if path and path not in NOT_SENT:
                    _add(tar, tree, path, seen)
        return cutter.finish()
    finally:
        cutter.discard()


def _add(tar: tarfile.TarFile, tree: Tree, path: str, seen: Stat) -> None:
    member = tarfile.TarInfo(path)
    member.type, member.linkname, member.size = _TYPES[seen.type], seen.target, seen.size
    member.mode, member.uid, member.gid = seen.mode, seen.uid, seen.gid
    member.mtime = seen.mtime_ns // 1_000_000_000
    if seen.type != "file":
        tar.addfile(member)
        return
    with open(tree.open(path), "rb") as file:  # noqa: PTH123 - it is open already
        tar.addfile(member, file)


class Joined(io.RawIOBase):
    """Parts read as one stream; each is fetched when it is needed, and proven first."""

    def __init__(
        self, parts: Sequence[Part], scratch: Path, get: Callable[[str, Path], None]
    ) -> None:
        super().__init__()
        self._left = list(parts)
        self._path = scratch / "part"
        self._get = get
        self._file: io.BufferedReader | None = None

    def readable(self) -> bool:
        """Return that it is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the part at hand goes; 0 at the end of all."""
        while self._file or self._left:
            self._file = self._file or self._next()
            if size := self._file.readinto(buffer):
                return size
            self._file.close()
            self._file = None
        return 0

    def close(self) -> None:
        """Remove what is under way."""
        if self._file:
            self._file.close()
        self._path.unlink(missing_ok=True)
        super().close()

    def _next(self) -> io.BufferedReader:
        part = self._left.pop(0)
        self._path.unlink(missing_ok=True)
        self._get(part.name, self._path)
        if files.sha256_of(self._path) != (part.sha256, part.size):
            raise BackupError(
                f"The part {part.name} of the copy is damaged.",
                remedy="Pull another copy, or from another target.",
            )
        return self._path.open("rb")


def unpack(stream: Joined, folder: Path) -> None:
    """Make the files, folders and links of a tar stream in an empty folder.

    Raises BackupError for anything else in it.
    """
    try:
        with (
            Tree(folder) as tree,
            tarfile.open(
                fileobj=stream,
                mode="r|",
                bufsize=CHUNK,
                encoding="utf-8",
                errors="surrogateescape",
            ) as tar,
        ):
            for member in tar:
                _make(tree, tar, member)
    except (tarfile.TarError, FileExistsError, ValueError) as error:
        raise BackupError(
            f"The copy could not be unpacked: {error}.",
            remedy="Pull another one, or from another target.",
        ) from error


def _make(tree: Tree, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    if member.isdir():
        tree.make_folder(member.name)
    elif member.issym():
        tree.make_link(member.name, member.linkname)
    elif member.isreg() and (content := tar.extractfile(member)):
        with closing(tree.create(member.name)) as out:
            write = files.write_all(out)
            while data := content.read(CHUNK):
                write(data)
    else:
        raise ValueError(f"{member.name!r} is no file, folder or link")
