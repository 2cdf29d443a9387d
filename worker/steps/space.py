"""Whether the disks have room: for what a deployment writes, and for its way back.

The danger is a disk that is full in the middle: a backup cannot be made while the app is
stopped, and a way back cannot set aside what it overwrites. So preflight asks before
anything is changed. What lies on one file system is added up. All of it is an estimate,
and none too small: a collection is copied whole if one document of it changed, so the
documents count for each backup (pre-deploy, fence, safety); the uploads count once, for
the new version may change each of them, and once more before the first backup.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from worker.adapters import disk
from worker.adapters.containers import Container
from worker.backups import catalogue
from worker.backups.catalogue import Backup
from worker.backups.text import size_text
from worker.errors import FullError
from worker.reserve import SIZE
from worker.steps.attempt import Attempt, Facts

ROOM = 200 << 20  # bytes that must stay free beside the backups, and beside images
SPARE = 8 << 20  # bytes, for journals, logs and Git's own files
COPIES = 3  # of the documents: pre-deploy, fence, safety
BACKUPS, IMAGES, WORK, CHECKOUT = "backups", "images", "work folder and journal", "checkout"
REMEDIES = {
    BACKUPS: "move backup.dir to another disk",
    IMAGES: "remove what Docker kept of earlier builds (docker builder prune)",
}


@dataclass(frozen=True)
class Need:
    """What one folder may have to take, in bytes."""

    what: str
    folder: Path
    bytes: int


@dataclass(frozen=True)
class Disk:
    """The needs of one file system, and what is free on it, in bytes."""

    folder: Path
    free: int
    parts: Mapping[str, int]

    @property
    def needed(self) -> int:
        """All its needs together."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{what} {size_text(size)}" for what, size in self.parts.items())
        return (
            f"the disk of {self.folder} has {size_text(self.free)} free, and"
            f" {size_text(self.needed)} may be needed: {parts}"
        )


def judge(attempt: Attempt, containers: Iterable[Container], revision: str) -> list[Facts]:
    """Return what each disk needs and has. Raises FullError for one that may become full."""
    disks = by_disk(_needs(attempt, containers, revision))
    for one in disks:
        if one.free < one.needed:
            said = str(one)
            ways = [REMEDIES[what] for what in one.parts if what in REMEDIES]
            raise FullError(
                f"{said[0].upper()}{said[1:]}.",
                remedy=" or ".join([f"Free some space on it, at {one.folder},", *ways]) + ".",
            )
    return [
        {"folder": str(one.folder), "free": one.free, "needed": one.needed, "text": str(one)}
        for one in disks
    ]


def docker_root(attempt: Attempt) -> str | None:
    """Return Docker's own folder, if it is on a disk of this host, and we may write there."""
    root, _ = attempt.engine.place_of_images(frozenset())
    return str(root) if disk.is_ours(root) else None


def by_disk(needs: Iterable[Need]) -> list[Disk]:
    """Return the needs added up by file system, in their order."""
    found: dict[int, list[Need]] = {}
    for need in needs:
        found.setdefault(disk.device(need.folder), []).append(need)
    return [
        Disk(some[0].folder, disk.free_bytes(some[0].folder), {one.what: one.bytes for one in some})
        for some in found.values()
    ]


def _needs(attempt: Attempt, containers: Iterable[Container], revision: str) -> list[Need]:
    app, state, checkout = attempt.app, attempt.state.home, attempt.checkout
    found = [Need(BACKUPS, app.backup_dir, ROOM + _backups(attempt))]
    if attempt.deployment.kind == "restore":
        return [*found, Need(WORK, state, SIZE + SPARE)]
    root, images = attempt.engine.place_of_images({one.image for one in containers})
    if root.is_dir():  # else Docker runs on another host
        found.append(Need(IMAGES, root, ROOM + images))
    sizes = checkout.sizes(revision)
    changed = checkout.changed(checkout.head().revision, revision)
    moved = sum(sizes.get(path, 0) for path in changed)
    found.append(Need(WORK, state, SIZE + SPARE + sum(sizes.values())))
    return [*found, Need(CHECKOUT, app.checkout, SIZE + SPARE + moved)]


def _backups(attempt: Attempt) -> int:
    last = catalogue.newest_verified(catalogue.backups(attempt.app.backup_dir, attempt.app.name))
    documents = _packed(attempt.mongo.size() if attempt.mongo else 0, last)
    uploads = sum(map(disk.tree_bytes, attempt.app.upload_paths))
    if attempt.deployment.kind == "restore":
        return documents + uploads  # the safety backup
    return COPIES * documents + uploads * (1 if last else 2)


def _packed(size: int, last: Backup | None) -> int:
    """Return the bytes that documents of this size take, packed as well as the last time."""
    entries = [entry for _, entry in last.manifest().collections()] if last else []
    raw = sum(entry.bytes for entry in entries)
    packed = sum(entry.file_size for entry in entries)
    return min(size, size * packed // raw) if raw else size
