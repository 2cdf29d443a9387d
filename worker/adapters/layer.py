"""What a container wrote over its image below one folder, and copying that out.

The danger is in names and links: a container's own files are somebody else's.
What Docker streams is read entry by entry and written through a `Tree`, which
follows no link and leaves no folder; nothing that is there is overwritten.
"""

import io
import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from worker.adapters import files
from worker.adapters.engine import Engine
from worker.adapters.files import CHUNK, Stat, closing
from worker.adapters.files_tree import Tree

STAGED = ".sheetanchor-rescue"  # in the folder that is copied to, while a file is copied
KINDS = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "link"}


@dataclass(frozen=True)
class Rescued:
    """What was copied, and what was not since another file has its name."""

    copied: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def written(changed: Iterable[str], folder: str) -> list[str]:
    """Return what was written below a folder, relative to it; folders only if empty."""
    inside = [path for path in changed if path.startswith(f"{folder}/")]
    above = {str(parent) for path in inside for parent in Path(path).parents}
    return sorted(posixpath.relpath(path, folder) for path in inside if path not in above)


def not_in(engine: Engine, container: str, folder: str, place: Path) -> list[str]:
    """Return what a container wrote below `folder` and that `place` has not, or has otherwise."""
    names = written(engine.changes(container), folder)
    if not names or not place.is_dir():
        return names
    with Tree(place) as tree:
        missing = [name for name in names if not _is_there(tree, name)]
        if missing:  # no need to read all of it
            return missing
        wanted = set(names)
        return [
            name
            for name, entry, content in _entries(engine, container, folder)
            if name in wanted and not _same(tree, name, entry, content)
        ]


def rescue(engine: Engine, container: str, folder: str, place: Path) -> Rescued:
    """Copy what a container wrote below `folder` into `place`; on disk when this returns."""
    wanted, found = set(written(engine.changes(container), folder)), Rescued()
    place.mkdir(parents=True, exist_ok=True)
    folders: dict[str, Stat] = {}
    with Tree(place) as tree:
        tree.remove(STAGED)
        for name, entry, content in _entries(engine, container, folder):
            if entry.type == "dir":
                folders[name] = entry
            if name not in wanted:
                continue
            if _is_there(tree, name):
                if not _same(tree, name, entry, content):
                    found.others.append(name)
                continue
            try:
                _make_folders(tree, name, folders)
                _put(tree, name, entry, content)
                found.copied.append(name)
            except NotADirectoryError:  # a file or a link has the name of a folder
                tree.remove(STAGED)
                found.others.append(name)
    return found


def _entries(
    engine: Engine, container: str, folder: str
) -> Iterator[tuple[str, Stat, Iterable[bytes]]]:
    """Yield relative path, kind and owner, and content of all files, folders and links."""
    with _opened(engine, container, folder) as tar:
        for one in tar:
            name = one.name.partition("/")[2]
            if name and one.islnk():  # another name of a file before it, without its content
                with _opened(engine, container, f"{folder}/{name}") as alone:
                    yield name, *_entry(alone, next(iter(alone)))
            elif name and one.type in KINDS:
                yield name, *_entry(tar, one)


def _opened(engine: Engine, container: str, path: str) -> tarfile.TarFile:
    stream = io.BufferedReader(_Chunks(engine.archive(container, path)), CHUNK)
    return tarfile.open(fileobj=stream, mode="r|")


def _entry(tar: tarfile.TarFile, one: tarfile.TarInfo) -> tuple[Stat, Iterable[bytes]]:
    inner = tar.extractfile(one) if one.isreg() else None
    return _stat(one), iter(lambda: inner.read(CHUNK) if inner else b"", b"")


def _stat(one: tarfile.TarInfo) -> Stat:
    return Stat(
        type=KINDS[one.type],
        size=one.size,
        mode=one.mode & 0o7777,
        uid=one.uid,
        gid=one.gid,
        mtime_ns=int(one.mtime * 1e9),
        ctime_ns=0,
        inode=0,
        target=one.linkname,
    )


class _Chunks(io.RawIOBase):
    """A stream of chunks, as a file that is read from the front."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, b""

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer with what comes next; 0 at the end."""
        self._left = self._left or next(self._chunks, b"")
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def _is_there(tree: Tree, name: str) -> bool:
    try:
        tree.stat(name)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _same(tree: Tree, name: str, entry: Stat, content: Iterable[bytes]) -> bool:
    there = tree.stat(name)
    if there.type != entry.type:
        return False
    if entry.type == "link":
        return there.target == entry.target
    if entry.type == "dir":
        return True
    with closing(tree.open(name)) as descriptor:
        return files.sha256(files.chunks(descriptor)) == files.sha256(content)


def _make_folders(tree: Tree, name: str, folders: dict[str, Stat]) -> None:
    for parent in reversed([str(one) for one in Path(name).parents][:-1]):
        if not _is_there(tree, parent):
            _put(tree, parent, folders[parent], ())


def _put(tree: Tree, name: str, entry: Stat, content: Iterable[bytes]) -> None:
    """Make it under another name first: whatever has its own name is whole, owner and all."""
    if entry.type == "dir":
        tree.make_folder(STAGED)
    elif entry.type == "link":
        tree.make_link(STAGED, entry.target)
    else:
        with closing(tree.create(STAGED)) as descriptor:
            files.sha256(content, files.write_all(descriptor))
    tree.set_metadata(STAGED, entry)
    if entry.type == "file":
        tree.sync(STAGED)
    tree.swap_in(STAGED, name)
    tree.sync(name.rpartition("/")[0])
