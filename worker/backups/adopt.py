"""Makes a whole, verified backup of ours out of one that an older script made.

So that an old one is restored the way of all others: staged, proven, swapped, and by a
second run if the first is killed. The danger is a copy that pretends to be newer than it
is: its id and its time are the old ones', and the old folder stays as it is.
"""

import json
from collections.abc import Callable
from pathlib import Path

from worker.adapters import files
from worker.backups import catalogue, make, old
from worker.backups import manifest as manifests
from worker.backups.catalogue import DELETING, PARTIAL, Backup
from worker.backups.links import Links
from worker.backups.old import Old
from worker.backups.old_copy import Copy
from worker.backups.source import Source
from worker.backups.verify import check
from worker.errors import BackupError


def chosen(source: Source, wanted: str | None, report: Callable[[str], None]) -> Backup:
    """Return the backup of that id, or the newest verified one; of an old one its copy.

    Raises NotFoundError, and BackupError for an old one that cannot be read to its end.
    """
    folder, app = source.app.backup_dir, source.app.name
    found = old.at(folder, wanted)
    if found is None:
        return catalogue.find(folder, app, wanted)
    return _adopted(source, found, f"a copy of {found.path.name}, which was {old.WHY}", report)


def _adopted(source: Source, found: Old, why: str, report: Callable[[str], None]) -> Backup:
    report(f"reading {found.path.name}, which was {old.WHY}")
    contents = old.examine(found)
    if missing := list(contents.faults()):
        raise BackupError(
            f"The old backup {found.path.name} is damaged: {missing[0]}.",
            remedy="Use another backup, or put its parts back by hand.",
        )
    partial = _new_partial(source, found)
    try:
        manifest = make.write_down(partial, Copy(source, found, contents, partial).manifest(why))
        _read_back(partial, found)
        made = make.finished(source, partial, manifest, Links())
    except OSError as error:
        make.discard(partial)
        raise BackupError(
            f"The old backup {found.path.name} could not be copied: {error}.",
            remedy="See that the disk has space and is healthy, then try again.",
        ) from error
    except BaseException:
        make.discard(partial)
        raise
    report(f"{made.id}: {why}; verified")
    return made


def _read_back(partial: Path, found: Old) -> None:
    if wrong := check(partial, manifests.read(partial)):
        raise BackupError(
            f"The copy of {found.path.name} did not read back as it was written: {wrong[0]}.",
            remedy="Look into the disk's health; nothing of the app was touched.",
        )


def _new_partial(source: Source, found: Old) -> Path:
    folder, stamp = source.app.backup_dir, f"{found.made_at:%Y%m%d_%H%M%S}"
    count = 2
    while any((folder / f"{prefix}{stamp}_{count}").exists() for prefix in ("", PARTIAL, DELETING)):
        count += 1
    partial = folder / f"{PARTIAL}{stamp}_{count}"
    partial.mkdir(mode=0o700)
    owner = json.dumps({"app": source.app.name, "complete": False}).encode()
    files.write(partial / manifests.NAME, owner)
    return partial
