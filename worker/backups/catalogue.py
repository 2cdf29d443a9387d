"""The backups of an app: a folder of dated folders, each with its own manifest.

A folder without this app's manifest is somebody else's and is never touched; one whose
name begins with a dot is being made or removed, and is not listed.

One rule says which is newer (`by_age`), for lists, restores, drills and retention alike.
"""

import logging
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from worker.backups import manifest as manifests
from worker.backups.file_list import Files
from worker.backups.manifest import Manifest
from worker.backups.verification import Verification
from worker.backups.verify import RECORD
from worker.clock import SystemClock, parse
from worker.errors import BackupError, NotFoundError
from worker.formats import BACKUP_ID

PARTIAL = ".partial-"
DELETING = ".deleting-"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What one backup is, without what is in it. Times are RFC 3339 UTC.

    `verified_at`: when it was read back whole last; None for one that was found damaged.
    """

    id: str
    path: Path
    app: str
    kind: str
    why: str
    deployment: str | None
    revision: str | None
    created_at: str
    verified_at: str | None
    one_moment: bool
    one_moment_why: str
    cluster_time: str | None
    bytes: int
    documents: int
    files: int
    databases: tuple[str, ...]
    warnings: tuple[str, ...]
    damage: str | None = None
    damage_found_at: str | None = None

    @classmethod
    def of(cls, path: Path, manifest: Manifest) -> Self:
        """Return the backup in a folder."""
        last = Verification.of(path)
        return cls(
            id=path.name,
            path=path,
            app=manifest.app,
            kind=manifest.kind,
            why=manifest.why,
            deployment=manifest.deployment,
            revision=manifest.revision,
            created_at=manifest.created_at,
            verified_at=_verified_at(manifest, last),
            one_moment=manifest.one_moment,
            one_moment_why=manifest.one_moment_why,
            cluster_time=manifest.cluster_time,
            bytes=manifest.bytes,
            documents=sum(entry.documents for _, entry in manifest.collections()),
            files=Files.of(manifest.files).regular(),
            databases=tuple(manifest.databases),
            warnings=tuple(manifest.warnings),
            damage=last.damage if last else None,
            damage_found_at=last.at if last and last.damage else None,
        )

    def manifest(self) -> Manifest:
        """Return what is in it. Raises BackupError."""
        return manifests.read(self.path)

    def summary(self) -> dict[str, Any]:
        """Return it as API and `--json` show it."""
        shown = asdict(self) | {"path": str(self.path)}
        return shown | {"databases": list(self.databases), "warnings": list(self.warnings)}


def _verified_at(manifest: Manifest, last: Verification | None) -> str | None:
    if last is None:
        return manifest.verified_at
    return None if last.damage else last.at


class Dated(Protocol):
    """A backup, or a copy of one at another place."""

    @property
    def id(self) -> str:
        """Its id, which begins with the time it was made."""

    @property
    def kind(self) -> str:
        """What it was made for."""

    @property
    def created_at(self) -> str:
        """When it was made."""

    @property
    def verified_at(self) -> str | None:
        """When it was found whole last, or None."""


D = TypeVar("D", bound=Dated)


def backups(folder: Path, app: str) -> list[Backup]:
    """Return the app's backups, newest first. A damaged manifest is logged and left out."""
    found = [_backup(path) for path in _folders(folder) if BACKUP_ID.fullmatch(path.name)]
    return by_age([each for each in found if each and each.app == app])


def by_age(found: Iterable[D], now: datetime | None = None) -> list[D]:
    """Return the backups newest first; what is dated later than now comes last.

    A clock that was wrong made those: nobody knows how old they are, so they count as
    newest only where there is nothing else.
    """
    moment = now or SystemClock().now()
    known = sorted(found, key=lambda each: _order(each.id), reverse=True)
    return sorted(known, key=lambda each: parse(each.created_at) > moment)


def folders(folder: Path, app: str) -> list[Path]:
    """Return the folders of the app's backups, newest first, those with a ruined manifest too."""
    found = [path for path in _folders(folder) if BACKUP_ID.fullmatch(path.name)]
    ours = [path for path in found if manifests.owner(path) == app or _has_no_owner(path)]
    return sorted(ours, key=lambda path: _order(path.name), reverse=True)


def _has_no_owner(path: Path) -> bool:
    return (path / manifests.NAME).exists() and manifests.owner(path) is None


def find(folder: Path, app: str, backup_id: str | None = None) -> Backup:
    """Return the backup of that id, or the newest verified one that is no safety backup.

    Raises NotFoundError, or BackupError for one whose manifest is ruined.
    """
    found = backups(folder, app)
    usual = [each for each in found if each.kind != "safety"]  # those are named to be restored
    wanted = newest_verified(usual) if backup_id is None else _named(found, backup_id)
    if wanted is None and backup_id and backup_id in [path.name for path in folders(folder, app)]:
        manifests.read(folder / backup_id)  # which says what is wrong with it
    if wanted is None:
        raise NotFoundError(
            f"There is no {'verified backup' if backup_id is None else f'backup {backup_id!r}'} "
            f"of {app} in {folder}.",
            remedy=f"Make one: sheetanchor backup {app}. After a loss, bring a copy back instead:"
            f" sheetanchor offsite pull {app}"
            if not found
            else f"Name one of: {', '.join(each.id for each in found[:7])}.",
        )
    return wanted


def newest_verified(found: Iterable[D], now: datetime | None = None) -> D | None:
    """Return the newest of the verified ones, or None."""
    return next((each for each in by_age(found, now) if each.verified_at), None)


def clean_partial(folder: Path, app: str) -> list[str]:
    """Remove what killed runs left half made or half removed; return the names.

    For the holder of the app's lock only: nobody else can know that it is not being
    made right now. What names another app stays.
    """
    removed = []
    for path in _folders(folder):
        prefix = next((each for each in (PARTIAL, DELETING) if path.name.startswith(each)), None)
        if prefix and BACKUP_ID.fullmatch(path.name.removeprefix(prefix)) and _is_of(path, app):
            remove(path)
            removed.append(path.name)
    return removed


def remove(path: Path) -> None:
    """Remove a backup's folder, its manifest last: until then it says whose it is."""
    for inner in path.iterdir():
        if inner.name == manifests.NAME:
            continue
        if inner.is_dir() and not inner.is_symlink():
            shutil.rmtree(inner)
        else:
            inner.unlink()
    shutil.rmtree(path)


def _is_of(path: Path, app: str) -> bool:
    owner = manifests.owner(path)
    # Killed before it had a manifest, or just after it lost it: then it has nothing else either.
    names = {inner.name for inner in path.iterdir()} - {manifests.NAME, f".{manifests.NAME}.new"}
    return owner == app or (owner is None and not names)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]


def _order(backup_id: str) -> tuple[str, str, int]:
    day, time, *count = backup_id.split("_")
    return day, time, int(*count) if count else 0


def _named(found: list[Backup], backup_id: str) -> Backup | None:
    return next((each for each in found if each.id == backup_id), None)


def _backup(path: Path) -> Backup | None:
    try:
        seen = (path / manifests.NAME).stat()
        return _read(path, seen.st_mtime_ns, seen.st_ino, _stamp(path / RECORD))
    except FileNotFoundError:
        return None  # not one of ours: THYNK's old script names its folders the same way
    except (BackupError, OSError) as error:
        log.warning("backup.unreadable", extra={"path": str(path), "reason": str(error)})
        return None


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        seen = path.stat()
    except FileNotFoundError:
        return ()
    return seen.st_mtime_ns, seen.st_ino


@lru_cache(maxsize=256)
def _read(path: Path, _mtime_ns: int, _inode: int, _verified: tuple[int, ...]) -> Backup:
    """Read a manifest once; a file that was replaced has other numbers."""
    return Backup.of(path, manifests.read(path))
