"""Reads a backup back: is everything there, and is it what the manifest says?

The reader is handed the folder and nothing else, so that it cannot know from memory
what it should read from disk. Every file is read whole. Streams are decompressed and
their documents counted, with one exception that `make` may ask for (`decoded`): a file
linked to an earlier backup was decompressed when that one was verified, and the SHA-256
of its bytes, read again here, proves that it still is the same. Stats alone are never
believed: re-hashing 1.7 GB takes a second.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from worker.adapters import files
from worker.adapters.files import Stat, closing
from worker.adapters.files_tree import Tree
from worker.backups import manifest as manifests
from worker.backups import stream
from worker.backups.entries import entry_files, metadata_of
from worker.backups.file_list import FileEntry
from worker.backups.manifest import CollectionEntry, Manifest
from worker.backups.reader import Reader
from worker.errors import BackupError

RECORD = "verification.json"  # no part of the backup: what reading it back found, and when
READERS = 4  # threads; hashing and decompressing leave Python's lock
PART_BYTES, PART_FILES = 8 << 20, 100  # that a thread takes at a time, about


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """A file of a backup that is not what it should be."""

    path: str
    how: str

    def __str__(self) -> str:
        return f"{self.path} {self.how}"


Tick = Callable[[int, int], None]
Check = Callable[[], Fault | None]


def verify(folder: Path, tick: Tick = lambda *_: None) -> Manifest:
    """Return the manifest of a backup that is whole. Raises BackupError naming the file."""
    found = manifests.read(folder)
    faults = check(folder, found, tick=tick)
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise BackupError(
            f"The backup {folder.name} is damaged: {faults[0]}{more}.",
            remedy="Use another backup, and look into the disk's health.",
        )
    return found


def check(
    folder: Path,
    manifest: Manifest,
    decoded: Container[str] = (),
    tick: Tick = lambda *_: None,
    reader: Reader | None = None,
) -> list[Fault]:
    """Return what is wrong with a backup, by path. `decoded` files are hashed only.

    `tick` gets the size of each file that was read, and of all; what it raises ends it. With
    the same `reader` several backups are read, each file of theirs once.
    """
    one = reader or Reader()
    try:
        with Tree(folder) as tree:
            found = tree.scan()
            faults = _missing_and_extra(manifest, found.entries, found.skipped)
            wrong = {fault.path for fault in faults}
            checks = [
                (found.entries[path].size, check)
                for path, check in _checks(tree, folder, manifest, decoded, one)
                if path not in wrong
            ]
            with ThreadPoolExecutor(READERS) as pool:
                faults += filter(None, _in_turn(pool, checks, tick))
    except OSError as error:
        raise BackupError(
            f"{folder} could not be read: {error.strerror}.", remedy="Look into the disk's health."
        ) from error
    return sorted(faults)


def _in_turn(
    pool: ThreadPoolExecutor, checks: Sequence[tuple[int, Check]], tick: Tick
) -> Iterator[Fault | None]:
    """Yield what the checks find; a `tick` that raises leaves the rest undone."""
    whole = sum(size for size, _ in checks)
    parts = list(_parts(checks))
    found = pool.map(lambda part: [check() for _, check in part], parts)
    for part, faults in zip(parts, found, strict=True):
        try:
            for size, _ in part:
                tick(size, whole)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        yield from faults


def _parts(checks: Sequence[tuple[int, Check]]) -> Iterator[list[tuple[int, Check]]]:
    """Yield the checks in lists, small files together: handing one over takes as long as it."""
    part: list[tuple[int, Check]] = []
    size = 0
    for check in checks:
        part.append(check)
        size += check[0]
        if size >= PART_BYTES or len(part) >= PART_FILES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _missing_and_extra(
    manifest: Manifest, found: dict[str, Stat], skipped: list[str]
) -> list[Fault]:
    wanted = expected(manifest)
    kinds = {path: seen.type for path, seen in found.items() if path not in _OURS}
    faults = [Fault(path, "is no file of a backup") for path in skipped]
    faults += [Fault(path, "is missing") for path in wanted if path not in kinds]
    faults += [Fault(path, "is not in the manifest") for path in kinds if path not in wanted]
    return faults + [
        Fault(path, f"is a {kinds[path]}, not a {kind}")
        for path, kind in wanted.items()
        if path in kinds and kinds[path] != kind
    ]


_OURS = ("", RECORD, f".{RECORD}.new")  # the last: of a process that was killed as it wrote


def expected(manifest: Manifest) -> dict[str, str]:
    """Return every path that should be there, and what it should be."""
    found = {manifests.NAME: "file", manifests.TEXT: "file"}
    for database, entry in manifest.collections():
        found |= dict.fromkeys(entry_files(database, entry), "file")
    for database in manifest.databases:
        found[f"mongodb/{database}"] = "dir"
    found |= {entry.path: entry.type for entry in manifest.files}
    for path in list(found):
        parent = path.rpartition("/")[0]
        while parent and parent not in found:
            found[parent] = "dir"
            parent = parent.rpartition("/")[0]
    return found


def _checks(
    tree: Tree, folder: Path, manifest: Manifest, decoded: Container[str], reader: Reader
) -> Iterator[tuple[str, Callable[[], Fault | None]]]:
    yield manifests.TEXT, partial(_check_text, folder, manifest)
    for database, entry in manifest.collections():
        metadata, *data = entry_files(database, entry)
        yield metadata, partial(_check_metadata, reader, tree, metadata, entry)
        for path in data:
            known = path in decoded
            yield path, partial(_check_stream, reader, tree, path, entry, decoded=known)
    for file in manifest.files:
        if file.type == "file":
            yield file.path, partial(_check_file, reader, tree, file)
        elif file.type == "link":
            yield file.path, partial(_check_link, tree, file)


def text_is_as_written(folder: Path, manifest: Manifest) -> bool:
    """Return whether `manifest.txt` is the one that the manifest means."""
    return files.sha256_of(folder / manifests.TEXT)[0] == manifest.text_sha256


def _check_text(folder: Path, manifest: Manifest) -> Fault | None:
    whole = text_is_as_written(folder, manifest)
    return None if whole else Fault(manifests.TEXT, "was changed")


def _check_file(reader: Reader, tree: Tree, entry: FileEntry) -> Fault | None:
    return _compare(entry.path, reader.hash(tree, entry.path), (entry.sha256, entry.size))


def _check_link(tree: Tree, entry: FileEntry) -> Fault | None:
    target = tree.stat(entry.path).target
    return None if target == entry.target else Fault(entry.path, f"links to {target!r}")


def _check_metadata(reader: Reader, tree: Tree, path: str, entry: CollectionEntry) -> Fault | None:
    with closing(tree.open(path)) as descriptor:
        try:
            content = b"".join(stream.unpacked(files.chunks(descriptor)))
        except BackupError as error:
            return Fault(path, f"cannot be read: {error.message}")
    if content != metadata_of(entry):
        return Fault(path, "does not hold the options and indexes of the manifest")
    return _compare(path, reader.hash(tree, path), (entry.metadata_sha256, entry.metadata_size))


def _check_stream(
    reader: Reader, tree: Tree, path: str, entry: CollectionEntry, *, decoded: bool
) -> Fault | None:
    wanted = entry.file_sha256, entry.file_size
    if decoded:
        return _compare(path, reader.hash(tree, path), wanted)
    try:
        packed, (documents, size, digest) = reader.examine(tree, path)
    except BackupError as error:
        broken = Fault(path, f"cannot be read: {error.message}")
        return _compare(path, reader.hash(tree, path), wanted) or broken
    if fault := _compare(path, packed, wanted):
        return fault
    if documents != entry.documents:
        return Fault(path, f"holds {documents:,} documents, not {entry.documents:,}")
    return _compare(path, (digest, size), (entry.sha256, entry.bytes))


def _compare(path: str, found: tuple[str, int], wanted: tuple[str, int]) -> Fault | None:
    if found == wanted:
        return None
    if found[1] != wanted[1]:
        return Fault(path, f"has {found[1]:,} bytes, not {wanted[1]:,}")
    return Fault(path, "has another SHA-256 than the manifest says")
