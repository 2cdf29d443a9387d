"""Backups that an app's own script made before: found, listed, and read to their end.

A dated folder with `mongodb-<time>.tar.gz` (mongodump's files), `uploads-<time>.tar.gz`,
`env.production.local.backup` and `manifest.txt`. Nothing in them says what should be
there, so they can be read and never proven: no hash, no count. Nothing is ever written
into them, and retention does not know them.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from worker.adapters.mongo_format import refuse_malformed
from worker.adapters.mongo_server import BUCKETS
from worker.backups import archive, catalogue, stream
from worker.backups import manifest as manifests
from worker.backups.catalogue import Backup
from worker.backups.entries import stored_as
from worker.clock import rfc3339
from worker.errors import BackupError
from worker.formats import BACKUP_ID

KIND = "old"
ENV = ".backup"
WHY = "made by an older script"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Old:
    """One of them. The archives are None where there is none."""

    path: Path
    mongodb: Path | None
    uploads: Path | None
    env_files: tuple[Path, ...]

    @property
    def made_at(self) -> datetime:
        """When it was made, as its name says in UTC, else as its files' times do."""
        try:
            return datetime.strptime(self.path.name[:15], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            newest = max(one.stat().st_mtime for one in self.files)
            return datetime.fromtimestamp(newest, UTC)

    @property
    def files(self) -> tuple[Path, ...]:
        """All its files that hold data."""
        return tuple(one for one in (self.mongodb, self.uploads, *self.env_files) if one)


@dataclass(slots=True)
class Contents:
    """What is in the archives: by database and file's stem, and the paths of uploads."""

    documents: dict[tuple[str, str], int] = field(default_factory=dict)
    metadata: dict[tuple[str, str], Json] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)

    def faults(self) -> Iterator[str]:
        """Yield what is missing: mongodump writes both files for each collection."""
        described = {(database, _stored(stem, one)) for (database, stem), one in self._stored()}
        for database, stem in sorted(self.documents.keys() - described):
            yield f"{database}/{stem}.metadata.json is missing: nobody knows its indexes"
        for database, stem in sorted(described - self.documents.keys()):
            yield f"{database}/{stem}.bson is missing"

    def _stored(self) -> list[tuple[tuple[str, str], Json]]:
        return [item for item in self.metadata.items() if type_of(item[1]) != "view"]


def at(folder: Path, name: str | None) -> Old | None:
    """Return the old backup of that name in the backups' folder, or None."""
    path = folder / (name or "")
    if not name or Path(name).name != name or not path.is_dir() or path.is_symlink():
        return None
    if (path / manifests.NAME).exists():
        return None
    there = sorted(one for one in path.iterdir() if one.is_file())
    found = Old(
        path=path,
        mongodb=_archive(there, "mongodb"),
        uploads=_archive(there, "uploads"),
        env_files=tuple(one for one in there if one.name.endswith(ENV)),
    )
    return found if found.mongodb or found.uploads else None


def listed(folder: Path, app: str) -> list[Backup]:
    """Return the old backups as the others are, newest first, none of them verified."""
    if not folder.is_dir():
        return []
    names = sorted(one.name for one in folder.iterdir() if BACKUP_ID.fullmatch(one.name))
    found = [one for one in (at(folder, name) for name in reversed(names)) if one]
    return [_as_backup(one, app) for one in found]


def find(folder: Path, app: str, backup_id: str | None) -> Backup:
    """Return the backup of that id, an old one too, as `catalogue.find`. Raises NotFoundError."""
    one = at(folder, backup_id)
    return _as_backup(one, app) if one else catalogue.find(folder, app, backup_id)


def everything(folder: Path, app: str) -> list[Backup]:
    """Return the app's backups, newest first, and after them the old ones."""
    return [*catalogue.backups(folder, app), *listed(folder, app)]


def examine(old: Old, tick: Callable[[], None] = lambda: None) -> Contents:
    """Read all of it. Raises BackupError for what is torn, or is no BSON, by its name."""
    contents = Contents()
    for path, _, content in archive.members(old.mongodb) if old.mongodb else ():
        if content and (found := dumped(path)):
            database, stem, what = found
            if what == "metadata":
                contents.metadata[database, stem] = _described(path, content)
            else:
                contents.documents[database, stem] = _parsed(path, content)
        tick()
    for path, _, content in archive.members(old.uploads) if old.uploads else ():
        contents.uploads.append(path)
        for _ in archive.parts(content) if content else ():
            tick()
    return contents


def faults(old: Old, tick: Callable[[], None] = lambda: None) -> list[str]:
    """Return what is wrong with it, as far as that shows."""
    try:
        return list(examine(old, tick).faults())
    except BackupError as error:
        return [error.message.removesuffix(".")]


def dumped(path: str) -> tuple[str, str, str] | None:
    """Return database, file's stem and metadata or documents, of a file of mongodump's."""
    *parents, name = path.removesuffix(".gz").split("/")
    for suffix, what in ((".metadata.json", "metadata"), (".bson", "documents")):
        stem = name.removesuffix(suffix)
        if parents and stem != name and not _is_mongodb_s_own(stem):
            return parents[-1], stem, what
    return None


def plain(path: str, content: IO[bytes]) -> Iterator[bytes]:
    """Yield a member's bytes, unpacked where mongodump packed them."""
    found = archive.parts(content)
    return stream.unpacked(found) if path.endswith(".gz") else found


def type_of(metadata: Json) -> str:
    """Return collection, view or timeseries; mongodump before 4.4 did not say."""
    options = metadata.get("options") or {}
    guessed = "view" if "viewOn" in options else "collection"
    return str(metadata.get("type") or guessed)


def _stored(stem: str, metadata: Json) -> str:
    return stored_as(type_of(metadata), stem)


def _is_mongodb_s_own(stem: str) -> bool:
    return stem.startswith("system.") and not stem.startswith(BUCKETS)


def _described(path: str, content: IO[bytes]) -> Json:
    try:
        found: Json = json.loads(b"".join(plain(path, content)))
        return {**found, "indexes": [*found["indexes"]]}
    except (BackupError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{path} is damaged: {error}.", remedy="Use another backup.") from error


def _parsed(path: str, content: IO[bytes]) -> int:
    count = 0
    try:
        for documents in stream.split(plain(path, content)):
            for document in documents:
                refuse_malformed(document)
            count += len(documents)
    except (BackupError, ValueError) as error:
        how = error.message if isinstance(error, BackupError) else f"{error}"
        raise BackupError(f"{path} is damaged: {how}", remedy="Use another backup.") from error
    return count


def _archive(there: list[Path], name: str) -> Path | None:
    found = [one for one in there if one.name.startswith(name) and one.name.endswith(".tar.gz")]
    return found[-1] if found else None


def _as_backup(old: Old, app: str) -> Backup:
    return Backup(
        id=old.path.name,
        path=old.path,
        app=app,
        kind=KIND,
        why=WHY,
        deployment=None,
        revision=None,
        created_at=rfc3339(old.made_at),
        verified_at=None,
        one_moment=False,
        one_moment_why="nobody noted it",
        cluster_time=None,
        bytes=sum(one.stat().st_size for one in old.files),
        documents=0,
        files=0,
        databases=(),
        warnings=(),
    )
