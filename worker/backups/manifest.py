"""What a backup holds: `manifest.json`, the word that everything else is checked against.

The danger is a manifest that is believed although it is damaged, or although somebody
wrote it to be believed. Its last field is the SHA-256 of the whole file (with that field
as zeros), every field has its type, and the paths in it name places inside the backup
only. Names that are not UTF-8 are kept as JSON's lone surrogates (ASCII throughout).
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_origin, get_type_hints

from worker.adapters import files
from worker.errors import BackupError

NAME = "manifest.json"
TEXT = "manifest.txt"
FORMAT = 1
FEATURES = "feature_compatibility"  # of `server`: MongoDB's, where its user may ask for it
Json = dict[str, Any]
T = TypeVar("T")

_CHECKSUM = re.compile(rb'"checksum": "([0-9a-f]{64})"\n\}\n$')
_ZEROS = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionEntry:
    """A collection or a view. Options and indexes are canonical extended JSON.

    Files are relative to the backup; `sha256` and `bytes` are of the raw stream. The
    counters were read before the documents, `settled` when no write was under way then:
    only that makes them proof of what the file holds.
    """

    name: str
    type: str  # collection, view, timeseries
    options: Json
    indexes: list[Json]
    uuid: str
    ttl: bool
    capped: bool
    metadata_file: str
    metadata_size: int = 0
    metadata_sha256: str = ""
    file: str = ""
    file_size: int = 0
    file_sha256: str = ""
    documents: int = 0
    bytes: int = 0
    sha256: str = ""
    counters: dict[str, int] = field(default_factory=dict)
    count: int = 0  # as the server counts, beside the counters
    reads: int = 0
    process: str = ""
    settled: bool = False
    read_at: str = ""
    read_monotonic: float = 0.0


class FileEntry(NamedTuple):
    """A file, folder or link; `path` is relative to the backup: uploads/… or config/….

    `racy`: written so shortly before it was copied that its times cannot prove that it
    was not written again. A tuple: there are tens of thousands.
    """

    path: str
    type: str  # file, dir, link
    size: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sha256: str = ""
    target: str = ""
    racy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A whole backup."""

    format: int
    app: str
    id: str
    kind: str  # pre-deploy, fence, scheduled, manual, safety
    why: str
    deployment: str | None
    revision: str | None
    images: dict[str, str]
    created_at: str
    finished_at: str
    verified_at: str | None
    one_moment: bool
    one_moment_why: str
    made_with: dict[str, str]
    server: dict[str, str]
    databases: dict[str, dict[str, CollectionEntry]]
    uploads: list[str]
    files: list[FileEntry]
    warnings: list[str]
    bytes: int
    text_sha256: str = ""
    cluster_time: str | None = None  # of all collections but capped ones; of a replica set

    def collections(self) -> list[tuple[str, CollectionEntry]]:
        """Return all collections and views, each with its database."""
        return [
            (database, entry)
            for database, entries in self.databases.items()
            for entry in entries.values()
        ]

    def files_by_path(self) -> dict[str, FileEntry]:
        """Return files, folders and links by their path in the backup."""
        return {entry.path: entry for entry in self.files}


def write(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, on disk when this returns, and read it back. Raises BackupError."""
    text = _text(manifest).encode()
    before, _, after = text.rpartition(_ZEROS.encode())
    whole = before + hashlib.sha256(text).hexdigest().encode() + after
    files.write(folder / NAME, whole)
    if (folder / NAME).read_bytes() != whole:
        raise _unusable(folder / NAME, "did not read back as it was written")


def read(folder: Path) -> Manifest:
    """Return a folder's manifest. Raises BackupError when it is missing or damaged."""
    path = folder / NAME
    try:
        text = path.read_bytes()
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror})") from error
    found = _CHECKSUM.search(text)
    if found is None:
        raise _unusable(path, "has no checksum at its end")
    zeroed = text[: found.start(1)] + _ZEROS.encode() + text[found.end(1) :]
    if hashlib.sha256(zeroed).hexdigest().encode() != found[1]:
        raise _unusable(path, "is damaged: its checksum does not fit")
    return _manifest(path, json.loads(text))


def owner(folder: Path) -> str | None:
    """Return the app that a folder's manifest names, finished or not; None without one."""
    try:
        app = json.loads((folder / NAME).read_bytes())["app"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return app if isinstance(app, str) else None


def _text(manifest: Manifest) -> str:
    """Return the JSON, one line a collection or file: json's own indenting takes seconds."""
    body = {name: json.dumps(value) for name, value in _plain(manifest).items()}
    body["files"] = _spread("[", _lines(manifest.files), "]")
    body["databases"] = _spread(
        "{",
        [f"{json.dumps(name)}: {_entries(found)}" for name, found in manifest.databases.items()],
        "}",
    )
    body["checksum"] = json.dumps(_ZEROS)
    return _spread("{", [f'"{name}": {value}' for name, value in body.items()], "}") + "\n"


def _lines(entries: Sequence[FileEntry]) -> list[str]:
    """Return the JSON of all, a line each, as one text: made in one go, five times as fast.

    Inside of a string a quote has a backslash before it, so what begins a line is none.
    """
    whole = json.dumps([entry._asdict() for entry in entries])[1:-1]
    return [whole.replace('}, {"path": ', '},\n{"path": ')] if entries else []


def _entries(entries: dict[str, CollectionEntry]) -> str:
    lines = [f"{json.dumps(name)}: {json.dumps(_plain(each))}" for name, each in entries.items()]
    return _spread("{", lines, "}")


def _spread(begin: str, lines: list[str], end: str) -> str:
    return "\n".join([begin, ",\n".join(lines), end]) if lines else begin + end


def _plain(entry: CollectionEntry | Manifest) -> Json:
    """Return the fields; those of a manifest that hold entries are left to the caller."""
    left = ("files", "databases")
    return {name: getattr(entry, name) for name in _TYPES[type(entry)] if name not in left}


def _manifest(path: Path, body: Any) -> Manifest:
    if body.pop("checksum", None) is None or body.get("format") != FORMAT:
        raise _unusable(path, f"has the format {body.get('format')!r}, not {FORMAT}")
    try:
        body["databases"] = {
            database: {name: _entry(CollectionEntry, entry) for name, entry in entries.items()}
            for database, entries in body["databases"].items()
        }
        body["files"] = [_file_entry(entry) for entry in body["files"]]
        return _entry(Manifest, body)
    except (TypeError, KeyError, AttributeError) as error:
        raise _unusable(path, f"has a wrong field ({error})") from error


def _entry(kind: type[T], values: Mapping[str, Any]) -> T:
    for name, type_ in _TYPES[kind].items():
        if name in values and not isinstance(values[name], type_):
            raise TypeError(f"{name} is {values[name]!r}")
    return kind(**values)


def _file_entry(values: Json) -> FileEntry:
    """Return an entry; the usual ones, all fields in their order, without looking at each."""
    found = tuple(values.values())
    if tuple(values) == FileEntry._fields and tuple(map(type, found)) == _FILE_TYPES:
        return FileEntry._make(found)
    return _entry(FileEntry, values)


def _types(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {name: get_origin(hint) if _generic(hint) else hint for name, hint in hints.items()}


def _generic(hint: Any) -> bool:
    return get_origin(hint) in (dict, list)


_TYPES: dict[type[Any], dict[str, Any]] = {
    kind: _types(kind) for kind in (CollectionEntry, FileEntry, Manifest)
}
_FILE_TYPES = tuple(_TYPES[FileEntry].values())


def _unusable(path: Path, how: str) -> BackupError:
    return BackupError(f"{path} {how}.", remedy="Use another backup; this one proves nothing.")
