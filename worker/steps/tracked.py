"""What a revision's files must not do to data, secrets and a person's files.

Judged by Git alone, before anything of the revision is exported or rendered.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from worker.errors import GuardError
from worker.steps.attempt import Attempt


def judge(attempt: Attempt, wanted: str) -> None:
    """Refuse a revision whose files would overwrite data, secrets or a person's files."""
    app, checkout = attempt.app, attempt.checkout
    inside = app.env_file and not Path(app.env_file).is_absolute()
    if inside and checkout.tracked(wanted, [str(app.env_file)]):
        raise GuardError(
            f"Revision {wanted[:12]} tracks the env file {app.env_file}.",
            remedy=f"Run `git rm --cached {app.env_file}`, ignore it, and push.",
        )
    if checkout.tracked(wanted, [".gitmodules"]):
        raise GuardError(
            f"Revision {wanted[:12]} has submodules, which are not fetched.",
            remedy="Put their files into the repository itself.",
        )
    head = attempt.fact("preflight", "head")["revision"]
    changed = checkout.changed(head, wanted)
    _no_change_below_data(attempt, changed)
    _nothing_in_the_way(attempt, changed)


def _no_change_below_data(attempt: Attempt, changed: Mapping[str, str]) -> None:
    """Refuse a change to what users may have replaced; a new file where none is, is none."""
    top = attempt.app.checkout
    for folder in attempt.app.data.uploads:
        below = [
            path
            for path, status in changed.items()
            if _below_folder(path, folder)
            and not (status == "A" and not os.path.lexists(top / path))
        ]
        if below:
            raise GuardError(
                f"The revision changes tracked files under the data path {folder}:"
                f" {', '.join(below[:5])}.",
                remedy="Keep what users write out of the repository; revert that change.",
            )


def _below_folder(path: str, folder: str) -> bool:
    """Return whether a path is a folder, or lies in it; both relative to the checkout."""
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def _nothing_in_the_way(attempt: Attempt, changed: Mapping[str, str]) -> None:
    """Refuse when a file that Git does not know stands where the revision adds one."""
    top = attempt.app.checkout
    for path, status in changed.items():
        standing = _in_the_way(top, path, changed) if status == "A" else None
        if standing:
            raise GuardError(
                f"The untracked file {standing} in the checkout is in the way of the"
                f" revision's {path}.",
                remedy=f"Move {top / standing} away, or commit it.",
            )


def _in_the_way(top: Path, path: str, changed: Mapping[str, str]) -> str | None:
    """Return the file that Git would delete, unasked, to make room for this one."""
    if _is_file(top / path):
        return path
    above = (str(folder) for folder in [*Path(path).parents][:-1])
    below = (str(inside.relative_to(top)) for inside in (top / path).rglob("*"))
    unknown = (one for one in (*above, *below) if one not in changed)
    return next((one for one in unknown if _is_file(top / one)), None)


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()
