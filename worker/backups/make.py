"""Makes a backup: whole and read back, or not at all.

It grows in a folder `.partial-…`, database first and uploads after it (an app writes the
file, then the document: a file without its document is harmless). Then it is read back
from disk, synced, and renamed; until that rename it does not exist for anybody.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from worker.adapters import files
from worker.adapters.files_tree import Tree
from worker.backups import manifest as manifests
from worker.backups import moments
from worker.backups.catalogue import DELETING, PARTIAL, Backup, remove
from worker.backups.describe import KINDS, Order, describe
from worker.backups.dump import Dump, Dumped
from worker.backups.keep import Keep
from worker.backups.links import Links
from worker.backups.losses import lost_most
from worker.backups.manifest import Manifest
from worker.backups.progress import Progress
from worker.backups.source import Source
from worker.backups.text import render, size_text
from worker.backups.verify import Fault, check, expected, text_is_as_written
from worker.clock import rfc3339
from worker.errors import BackupError, UsageError

_NO_DATABASE = Dumped(entries={}, one_moment=True, why="no file changed while it was made")

log = logging.getLogger(__name__)


def make(
    source: Source,
    *,
    kind: str,
    deployment: str | None,
    revision: str | None,
    images: Mapping[str, str],
    why: str,
    previous: Backup | None,
    report: Callable[[str], None],
) -> Backup:
    """Return a new, verified backup of all the app's data.

    `previous` may be linked to where nothing changed. `report` gets a line for each
    collection and uploads folder; what it raises ends the backup. Raises BackupError
    when it cannot be made or does not read back, UnavailableError when MongoDB is away,
    FullError when there is no room.
    """
    if kind not in KINDS:
        raise UsageError(
            f"{kind!r} is no kind of backup.", remedy=f"Use one of {', '.join(KINDS)}."
        )
    order = Order(
        source=source,
        kind=kind,
        deployment=deployment,
        revision=revision,
        images=images,
        why=why,
        report=report,
    )
    try:
        return _made(order, previous)
    except OSError as error:
        raise BackupError(
            f"The backup could not be made: {error.strerror} ({error.filename}).",
            remedy="See that the disk has space and is healthy, then try again.",
        ) from error


def _made(order: Order, previous: Backup | None) -> Backup:
    folder = order.source.app.backup_dir
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if order.source.mongo:
        order.source.mongo.refuse_unsupported()
    links, damaged = _links(previous)
    while True:
        partial = _new_partial(folder, order.source)
        try:
            manifest = _written(order, partial, links, damaged, previous)
            faults = _read_back(order, partial, links)
            if not faults:
                made = finished(order.source, partial, manifest, links)
                order.report(f"{made.id}: {size_text(made.bytes)}, verified")
                return made
            links = _without(links, faults)  # then all over again: rot is rare
            damaged += faults
        except BaseException:
            discard(partial)
            raise
        discard(partial)


def _read_back(order: Order, partial: Path, links: Links) -> list[Fault]:
    """Return what is wrong with what was written, as the disk has it now."""
    progress = Progress(order.report, order.source.clock, "read back")
    return check(partial, manifests.read(partial), links.made, progress.file)


def _links(previous: Backup | None) -> tuple[Links, list[Fault]]:
    """Return what may be linked to; a damaged earlier backup is no reason to make none."""
    if previous is None:
        return Links(), []
    try:
        return Links(previous.manifest(), previous.path), []
    except BackupError as error:
        return Links(), [Fault(manifests.NAME, f"cannot be used ({error.message})")]


def _new_partial(folder: Path, source: Source) -> Path:
    name = stamp = f"{source.clock.now():%Y%m%d_%H%M%S}"
    count = 1
    while any((folder / f"{prefix}{name}").exists() for prefix in ("", PARTIAL, DELETING)):
        count += 1
        name = f"{stamp}_{count}"
    partial = folder / f"{PARTIAL}{name}"
    partial.mkdir(mode=0o700)
    # Says from the begin whose it is, so that a killed run's folder can be removed.
    owner = json.dumps({"app": source.app.name, "complete": False}).encode()
    files.write(partial / manifests.NAME, owner)
    return partial


def _written(
    order: Order, partial: Path, links: Links, damaged: Sequence[Fault], previous: Backup | None
) -> Manifest:
    """Write everything but the last word; return the manifest, written as well."""
    source, mongo, clock = order.source, order.source.mongo, order.source.clock
    begun = clock.now()
    progress = Progress(order.report, clock, "backup")
    progress.whole = mongo.size() if mongo else 0
    keep = Keep(source, partial, links, report=order.report, progress=progress)
    keep.look()
    keep.refuse_full_disk()
    dumped = _NO_DATABASE
    if mongo:
        with Tree(partial) as tree:
            dump = Dump(mongo, partial, links, clock, report=order.report, progress=progress)
            dumped = moments.dump_all(dump, tree)
    # The files after the databases: an app writes the file first, then the document.
    kept = keep.run()
    manifest = describe(
        order,
        name=partial.name.removeprefix(PARTIAL),
        begun=begun,
        dumped=dumped,
        kept=kept,
        moved=keep.moved,
        warnings=[*_replaced(damaged), *keep.warnings],
    )
    if previous and (lost := lost_most(previous, Backup.of(partial, manifest))):
        told = f"{lost} See that all its data is where it belongs."
        manifest = replace(manifest, warnings=[*manifest.warnings, told])
    return write_down(partial, manifest)


def finished(source: Source, partial: Path, manifest: Manifest, links: Links) -> Backup:
    """Say when it was verified, sync it all, and give it its name."""
    manifest = write_down(partial, replace(manifest, verified_at=rfc3339(source.clock.now())))
    if not text_is_as_written(partial, manifest):
        raise BackupError(
            f"{partial / manifests.TEXT} did not read back as it was written.",
            remedy="Look into the disk's health.",
        )
    # All of it is there, as `check` saw. A linked file is on disk since the earlier backup;
    # folders and new files are not yet.
    unsynced = ["", *(path for path, kind in expected(manifest).items() if kind != "link")]
    files.sync_all(partial / path for path in unsynced if path not in links.made)
    final = partial.with_name(manifest.id)
    partial.rename(final)
    files.sync(final.parent)
    return Backup.of(final, manifest)


def write_down(folder: Path, manifest: Manifest) -> Manifest:
    """Write both manifests; return the one that knows the other."""
    text = render(manifest).encode()
    files.write(folder / manifests.TEXT, text)
    manifest = replace(manifest, text_sha256=files.sha256([text])[0])
    manifests.write(folder, manifest)
    return manifest


def _without(links: Links, faults: list[Fault]) -> Links:
    """Return links that refuse the damaged files. Raises BackupError for what was no link."""
    ours = [fault for fault in faults if fault.path not in links.made]
    if ours:
        raise BackupError(
            f"The backup did not read back as it was written: {ours[0]}.",
            remedy="Look into the disk's health; nothing of the app was touched.",
        )
    refused = links.refused | {fault.path for fault in faults}
    return Links(links.manifest, links.path, refused)


def discard(partial: Path) -> None:
    """Remove a failed attempt; a failure of that is logged and hides nothing."""
    try:
        remove(partial)
    except OSError as error:
        log.warning("backup.left_behind", extra={"path": str(partial), "reason": str(error)})


def _replaced(damaged: Sequence[Fault]) -> list[str]:
    return [f"The earlier backup's {fault}: copied afresh." for fault in damaged]
