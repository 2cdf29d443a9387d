"""Reads a .tar.gz to its very end: what an old script packed, and nothing else.

The danger is an archive that ends early and looks whole, and a name in it that leads out
of the folder. gzip's checksum, its end and tar's own end are looked at; names are made
relative or refused.
"""

import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

from worker.adapters import files
from worker.adapters.files import closing
from worker.backups import stream
from worker.errors import BackupError

BLOCK = 1 << 20  # bytes read at a time
END = bytes(1024)  # two empty blocks end a tar
Member = tuple[str, tarfile.TarInfo, IO[bytes] | None]


def members(path: Path) -> Iterator[Member]:
    """Yield each member's path, what it is, and a regular one's content, to be read at once.

    Raises BackupError for an archive that is torn or whose names lead out of it.
    """
    with closing(files.open_followed(path)) as descriptor:
        source = _Source(stream.unpacked(files.chunks(descriptor)))
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", source), mode="r|", bufsize=BLOCK) as tar:
                for one in tar:
                    yield (
                        _inside(path, one.name),
                        one,
                        tar.extractfile(one) if one.isreg() else None,
                    )
            source.drain()
        except (tarfile.TarError, BackupError) as error:
            how = error.message if isinstance(error, BackupError) else str(error)
            raise _broken(path, f"could not be read to its end: {how}") from error
        if source.tail != END:
            raise _broken(path, "ends before its end")


def parts(content: IO[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a member."""
    while part := content.read(BLOCK):
        yield part


class _Source:
    """What tarfile reads from; remembers how the stream ended."""

    def __init__(self, found: Iterable[bytes]) -> None:
        self.tail = b""
        self._found = iter(found)
        self._part = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end."""
        taken: list[bytes] = []
        while size and (self._part or self._next()):
            taken.append(bytes(self._part[:size]))
            self._part = self._part[len(taken[-1]) :]
            size -= len(taken[-1])
        whole = b"".join(taken)
        self.tail = (self.tail + whole[-len(END) :])[-len(END) :]
        return whole

    def drain(self) -> None:
        """Read what follows tar's end, so that gzip's is seen."""
        while self.read(BLOCK):
            pass

    def _next(self) -> bool:
        self._part = memoryview(next(self._found, b""))
        return bool(self._part)


def plain(name: str) -> str:
    """Return a name of an archive as `members` gives paths."""
    return "/".join(one for one in name.split("/") if one not in ("", "."))


def _inside(path: Path, name: str) -> str:
    if name.startswith("/") or ".." in plain(name).split("/"):
        raise _broken(path, f"holds {name!r}, which leads out of its folder")
    return plain(name)


def _broken(path: Path, how: str) -> BackupError:
    return BackupError(f"{path.name} {how}.", remedy="Use another backup.")
