"""Refuses what may be written and would neither be backed up nor restored.

Every writable mount must be an uploads folder, or lie in one, or be named in
`data.not_covered`: a person knows of it then. The parent of an uploads folder
is not covered by it: it holds other files too. What needs no cover: what is
mounted for reading, sockets and devices, what is in memory, and single files
that Git or the backup's config files keep.
"""

import difflib
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from worker.adapters.containers import Container
from worker.config import App
from worker.errors import GuardError
from worker.steps import data, mounts
from worker.steps.attempt import Attempt
from worker.steps.mounts import Model, Mount


def judge_present(attempt: Attempt, there: Iterable[Container], revision: str) -> None:
    """Judge what the containers mount now; not for a restore, which makes nothing worse."""
    if attempt.deployment.kind != "restore":
        judge(attempt, mounts.of_containers(there, attempt.engine.volume), revision)


def judge(attempt: Attempt, there: Iterable[Mount], revision: str) -> None:
    """Raise GuardError that names every mount without cover, and what to write for it."""
    there = list(there)
    open_ones = uncovered(attempt.app, there, lambda path: keeps(attempt, revision, path))
    if not open_ones:
        return
    app = attempt.app
    astray = set(app.data.not_covered) - {one.place for one in there}
    named = [*app.data.not_covered, *dict.fromkeys(one.place for one in open_ones)]
    listed = ", ".join(f'"{one}"' for one in named)
    raise GuardError(
        "These may be written to, and are neither backed up nor restored:"
        f" {'; '.join(_said(one, astray) for one in open_ones)}.",
        remedy=f"Set not_covered = [{listed}] in [apps.{app.name}.data] if what is in them may be"
        " lost. What may not: bind it to a folder of data.uploads. What is only read: mount it"
        f" with `:ro`. Then push, or run `sheetanchor deploy {app.name}`.",
    )


def uncovered(app: App, there: Iterable[Mount], kept: Callable[[str], bool]) -> list[Mount]:
    """Return the mounts that nothing covers. `kept` knows single files that are safe."""
    folders = [os.path.realpath(path) for path in app.upload_paths]
    known = set(app.data.not_covered)
    return [
        one
        for one in there
        if one.place not in known
        and mounts.can_hold_data(one)
        and not (one.kind == "bind" and _safe(one.source, folders, kept))
    ]


def over_uploads(app: App, model: Model, there: Sequence[Mount]) -> list[tuple[Mount, str]]:
    """Return what a model mounts over a part of an uploads folder, with that part's path.

    The app sees what is over it. And what it writes to memory there is in no backup,
    and gone with the container.
    """
    folders = [os.path.realpath(path) for path in app.upload_paths]
    found = mounts.hiding(model, there)
    return [(one, part) for one, part in found if any(mounts.is_below(part, f) for f in folders)]


def _safe(source: str, folders: Sequence[str], kept: Callable[[str], bool]) -> bool:
    return any(mounts.is_below(source, folder) for folder in folders) or kept(source)


def keeps(attempt: Attempt, revision: str, path: str) -> bool:
    """Whether Git's revision or the backup's config has a path: a single file, then."""
    if path in {os.path.realpath(one) for one in data.config_files(attempt.app)}:
        return True
    checkout = Path(os.path.realpath(attempt.app.checkout))
    if not Path(path).is_relative_to(checkout) or Path(path) == checkout:
        return False
    name = str(Path(path).relative_to(checkout))
    return attempt.checkout.tracked(revision, [name]) == [name]


def _said(mount: Mount, astray: Collection[str]) -> str:
    close = difflib.get_close_matches(mount.place, astray, n=1, cutoff=0.8)
    hint = f" (not_covered has {close[0]}: did you mean that?)" if close else ""
    return f"{mount.place}, which is {mount.what}{hint}"
