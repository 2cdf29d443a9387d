"""Puts the untracked files that the build needs into the work folder.

As they stand in the checkout, mode and owner too: the image gets the modes, and
its user must be able to read them. The danger is a symbolic link of the revision
where a folder is expected: what is written through it lands anywhere on the host.
"""

import os
import shutil
import stat
from pathlib import Path

from worker.adapters import disk
from worker.errors import GuardError
from worker.steps.attempt import Attempt


def put(attempt: Attempt) -> None:
    """Copy `build_files` into the work folder; what the revision has there itself stays.

    Raises GuardError naming the key for one that is missing or cannot be copied.
    """
    sources = [attempt.app.checkout / name for name in attempt.app.build_files]
    if missing := [str(one) for one in sources if not os.path.lexists(one)]:
        raise _refusal(attempt, f"{', '.join(missing)} does not exist.", "Write it there")
    for name, source in zip(attempt.app.build_files, sources, strict=True):
        folder = attempt.work
        for part in Path(name).parent.parts:
            folder = folder / part
            _copy_folder(attempt, attempt.app.checkout / folder.relative_to(attempt.work), folder)
        _copy(attempt, source, attempt.work / name)


def _copy(attempt: Attempt, source: Path, target: Path) -> None:
    mode = source.lstat().st_mode
    if stat.S_ISDIR(mode):
        _copy_folder(attempt, source, target)
        for inside in sorted(source.iterdir()):
            _copy(attempt, inside, target / inside.name)
    elif os.path.lexists(target):
        attempt.say(f"build_files: {source} is in the revision itself, so that one is built")
    elif stat.S_ISLNK(mode) or stat.S_ISREG(mode):
        shutil.copyfile(source, target, follow_symlinks=False)
        _give(source, target)
    else:
        raise _refusal(attempt, f"{source} is no file, folder or link.", "Remove it")


def _copy_folder(attempt: Attempt, source: Path, target: Path) -> None:
    """Make the folder, unless the revision has it. Raises GuardError if that is none."""
    if not os.path.lexists(target):
        target.mkdir()
        _give(source, target)
    elif target.is_symlink() or not target.is_dir():
        shown = target.relative_to(attempt.work)
        raise _refusal(attempt, f"{shown} is no folder in the revision.", "Make it one there")


def _give(source: Path, target: Path) -> None:
    about = source.lstat()
    disk.chown(target, about.st_uid, about.st_gid)
    if not target.is_symlink():
        target.chmod(stat.S_IMODE(about.st_mode))


def _refusal(attempt: Attempt, what: str, then: str) -> GuardError:
    return GuardError(
        f"apps.{attempt.app.name}.build_files: {what}",
        remedy=f"{then}, or mend build_files in sheetanchor.toml, then push again.",
    )
