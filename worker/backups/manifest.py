"""What a backup holds: `manifest.json`, the word that everything else is checked against.

The danger is a manifest that is believed although it is damaged, or although somebody
wrote it to be believed. Its last field is the SHA-256 of the whole file (with that field
as zeros), every field has its type, and the paths in it name places inside the backup
only. Names that are not UTF-8 are kept as JSON's lone surrogates (ASCII throughout).
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from worker.adapters import files
from worker.backups.file_list import FileEntry, Files
from worker.errors import BackupError

NAME = "manifest.json"
TEXT = "manifest.txt"
FORMAT = 1
FEATURES = "feature_compatibility"  # of `server`: MongoDB's, where its user may ask for it
Json = dict[str, Any]
T = TypeVar("T")

_CHECKSUM = re.compile(rb'"checksum": "([0-9a-f]{64})"\n\}\n$')
_ZEROS = b"0" * 64
_LAST = 200  # bytes, of which the checksum is the last line
_FILES = b',\n"files": [\n'  # begins a line of ours each; no string holds a line's end
_END = b"\n],\n"


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
    files: Sequence[FileEntry]
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
    text = _text(manifest)
    before, _, after = text.rpartition(_ZEROS)
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
    found = _CHECKSUM.search(text, max(0, len(text) - _LAST))
    if found is None:
        raise _unusable(path, "has no checksum at its end")
    digest = hashlib.sha256(memoryview(text)[: found.start(1)])
    digest.update(_ZEROS + text[found.end(1) :])
    if digest.hexdigest().encode() != found[1]:
        raise _unusable(path, "is damaged: its checksum does not fit")
    try:
        return _manifest(path, _body(text))
    except (TypeError, KeyError, AttributeError, ValueError, RecursionError) as error:
        raise _unusable(path, f"has a wrong field ({error})") from error


def owner(folder: Path) -> str | None:
    """Return the app that a folder's manifest names, finished or not; None without one."""
    try:
        app = json.loads((folder / NAME).read_bytes())["app"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return app if isinstance(app, str) else None


def _text(manifest: Manifest) -> bytes:
    """Return the JSON, one line a collection or file: json's own indenting takes seconds."""
    body = {name: _json(value) for name, value in _plain(manifest).items()}
    body["files"] = _spread(b"[", list(filter(None, [Files.of(manifest.files).text])), b"]")
    databases = {name: _entries(found) for name, found in manifest.databases.items()}
    body["databases"] = _spread(b"{", _named(databases), b"}")
    body["checksum"] = b'"%b"' % _ZEROS
    return _spread(b"{", _named(body), b"}") + b"\n"


def _entries(entries: dict[str, CollectionEntry]) -> bytes:
    return _spread(b"{", _named({n: _json(_plain(each)) for n, each in entries.items()}), b"}")


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _named(values: Mapping[str, bytes]) -> list[bytes]:
    return [b"%b: %b" % (_json(name), value) for name, value in values.items()]


def _spread(begin: bytes, lines: list[bytes], end: bytes) -> bytes:
    return b"\n".join([begin, b",\n".join(lines), end]) if lines else begin + end


def _plain(entry: CollectionEntry | Manifest) -> Json:
    """Return the fields; those of a manifest that hold entries are left to the caller."""
    left = ("files", "databases")
    return {name: getattr(entry, name) for name in _TYPES[type(entry)] if name not in left}


def _body(text: bytes) -> Any:
    """Return the JSON; the files in it unread, where all is as we write it."""
    with contextlib.suppress(ValueError):
        if found := _in_parts(text):
            return found
    return json.loads(text)


def _in_parts(text: bytes) -> Json | None:
    begin = text.find(_FILES)
    files = Files.in_text(text, begin + len(_FILES)) if begin >= 0 else None
    end = begin + len(_FILES) + len(files.text) if files is not None else 0
    if files is None or not text.startswith(_END, end):
        return None
    # Each part must be an object of its own: so the files are a field of the whole one.
    before, after = json.loads(text[:begin] + b"}"), json.loads(b"{" + text[end + len(_END) :])
    return None if "files" in before.keys() | after.keys() else {**before, "files": files, **after}


def _manifest(path: Path, body: Any) -> Manifest:
    if body.pop("checksum", None) is None or body.get("format") != FORMAT:
        raise _unusable(path, f"has the format {body.get('format')!r}, not {FORMAT}")
    body["databases"] = {
        database: {name: _entry(CollectionEntry, entry) for name, entry in entries.items()}
        for database, entries in body["databases"].items()
    }
    if not isinstance(body["files"], Files):
        body["files"] = Files([_entry(FileEntry, entry) for entry in body["files"]])
    return _entry(Manifest, body)


def _entry(kind: type[T], values: Mapping[str, Any]) -> T:
    for name, type_ in _TYPES[kind].items():
        if name in values and not isinstance(values[name], type_):
            raise TypeError(f"{name} is {values[name]!r}")
    return kind(**values)


def _types(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {name: get_origin(hint) if _generic(hint) else hint for name, hint in hints.items()}


def _generic(hint: Any) -> bool:
    return get_origin(hint) in (dict, list, Sequence)


_TYPES: dict[type[Any], dict[str, Any]] = {
    kind: _types(kind) for kind in (CollectionEntry, FileEntry, Manifest)
}


def _unusable(path: Path, how: str) -> BackupError:
    return BackupError(f"{path} {how}.", remedy="Use another backup; this one proves nothing.")
