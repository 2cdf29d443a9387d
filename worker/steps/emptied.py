"""Refuses while nothing is left of what an uploads folder held when it was last saved.

That is what a disk looks like that was not mounted, and a folder that somebody moved.
The old containers may still have it open; a new one would show nothing, take new uploads
elsewhere, and each deployment's backups would push out one that has the files. Files that
Git tracks (`.gitkeep`) are there anyway and say nothing. `force` waives it; from then on
the newest backup says what is there.
"""

import os
from collections.abc import Collection

from worker.adapters import disk
from worker.backups import catalogue
from worker.errors import GuardError
from worker.steps.attempt import Attempt

# Made while a deployment or a person looked. A scheduled one saves whatever there is.
LOOKED_AT = ("pre-deploy", "fence", "manual")
NO_CHANCE = 20  # files: fewer may all have been replaced by others


def judge(attempt: Attempt, revision: str) -> None:
    """Raise GuardError that names the folder and the backup; not for a restore."""
    if attempt.deployment.kind == "restore" or attempt.deployment.options.get("force"):
        return
    app = attempt.app
    there = catalogue.backups(app.backup_dir, app.name)
    last = catalogue.newest_verified([one for one in there if one.kind in LOOKED_AT])
    if last is None:
        return
    saved = {one.path for one in last.manifest().files if one.type == "file"}
    tracked = set(attempt.checkout.tracked(revision, app.data.uploads))
    for root in app.data.uploads:
        files = {path.removeprefix("uploads/") for path in saved if path.startswith("uploads/")}
        lost = {path for path in files - tracked if path.startswith(f"{root}/")}
        if lost and nothing_left(app.checkout, root, lost, tracked):
            raise GuardError(
                f"Of the {len(lost):,} files that backup {last.id} has of the uploads folder"
                f" {app.checkout / root}, not one is there.",
                remedy="If its disk is not mounted, or it was moved, put it back, run `sheetanchor"
                f" restart {app.name}`, and deploy. If the files are lost, run `sheetanchor"
                f" restore {app.name} {last.id} --only uploads`. If they are not needed, run"
                f" `sheetanchor deploy {app.name} --force`.",
            )


def nothing_left(
    checkout: os.PathLike[str], root: str, saved: Collection[str], tracked: Collection[str]
) -> bool:
    """Whether no saved file is there, and nothing else that an app could have put instead."""
    top = os.fspath(checkout)
    if any(os.path.lexists(f"{top}/{path}") for path in saved):
        return False
    gits = {f"{top}/{path}" for path in tracked}
    return len(saved) >= NO_CHANCE or all(one in gits for one in disk.files_below(f"{top}/{root}"))
