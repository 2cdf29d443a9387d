"""What a revision's files must not do to data and secrets.

Judged before anything of the revision is rendered: by Git alone, but for the
pointer files of Git LFS, which only their content gives away. What stands in the
way of these files is judged by `worker.steps.in_the_way`.
"""

import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from worker.errors import GuardError
from worker.steps import in_the_way
from worker.steps.attempt import Attempt
from worker.steps.in_the_way import named
from worker.steps.mounts import is_below

MOST = 1_000  # pointer files that are looked at: one is enough
LARGEST_POINTER = 1_024  # bytes (the specification of Git LFS)
POINTER = b"version https://git-lfs.github.com/spec/v1\n"


def judge(attempt: Attempt, wanted: str) -> None:
    """Refuse a revision whose files would overwrite data or secrets, or cannot be written."""
    app, checkout = attempt.app, attempt.checkout
    if app.env_inside and checkout.tracked(wanted, [app.env_inside]):
        raise GuardError(
            f"Revision {wanted[:12]} tracks the env file {app.env_inside}.",
            remedy=f"Run `git rm --cached {app.env_inside}`, ignore it, and push: the file on"
            " this host stays as it is.",
        )
    if submodules := checkout.submodules(wanted):
        first = submodules[0]
        raise GuardError(
            f"Revision {wanted[:12]} has submodules, which are not fetched: {named(submodules)}.",
            remedy=f"Put their files into the repository itself: `git rm --cached {first}`,"
            f" remove {first}/.git, `git add {first}`, for each of them, and push.",
        )
    _no_filter(attempt, wanted)
    head = attempt.fact("preflight", "head")["revision"]
    changed = checkout.changed(head, wanted)
    _no_change_below_data(attempt, changed)
    in_the_way.judge(attempt, changed)


def judge_export(attempt: Attempt, wanted: str) -> None:
    """Refuse exported files that stand for what only Git LFS would fetch."""
    pointers = sorted(str(one.relative_to(attempt.work)) for one in _pointers(attempt.work))
    left_out = attempt.checkout.in_lfs(wanted, pointers[:MOST])
    if left_out:
        first, attributes = left_out[0], attempt.checkout.git_dir / "info" / "attributes"
        raise GuardError(
            f"Revision {wanted[:12]} keeps {named(left_out)} in Git LFS, which is not fetched:"
            " the app would get the pointer files.",
            remedy="Take them out of .gitattributes, add the files themselves, and push. If the"
            f" app does without them, run `echo '/{first} -filter' >>{attributes}`, for each.",
        )


def _no_filter(attempt: Attempt, wanted: str) -> None:
    """Refuse files that a person's Git would decrypt, say: no filter is run here."""
    found = attempt.checkout.needs_filter(wanted)
    if found:
        git_dir, (first, name) = attempt.checkout.git_dir, next(iter(found.items()))
        listed = named([f"{path} ({by})" for path, by in found.items()])
        raise GuardError(
            f"Revision {wanted[:12]} has files that {git_dir / 'config'} hands to a filter, a"
            f" program that is not run here: {listed}.",
            remedy="Take them out of .gitattributes, add the files as the app needs them, and"
            f" push. If the app does without them, run `echo '/{first} -filter'"
            f" >>{git_dir / 'info' / 'attributes'}`, for each. If you know of no filter {name},"
            f" run `git -C {attempt.app.checkout} config --remove-section"
            f" {shlex.quote(f'filter.{name}')}`, and see who wrote it.",
        )


def _pointers(top: Path) -> Iterator[Path]:
    """Yield the files that have an LFS pointer's size and first line."""
    for place, _, names in os.walk(top):
        for path in (Path(place) / name for name in names):
            about = path.lstat()
            small = stat.S_ISREG(about.st_mode) and about.st_size <= LARGEST_POINTER
            if small and path.read_bytes().startswith(POINTER):
                yield path


def _no_change_below_data(attempt: Attempt, changed: Mapping[str, str]) -> None:
    """Refuse a change to what users may have replaced; a new file where none is, is none."""
    top = attempt.app.checkout
    for folder in attempt.app.data.uploads:
        below = [
            path
            for path, status in changed.items()
            if is_below(path, folder) and not (status == "A" and _is_free(top, path))
        ]
        if below:
            raise GuardError(
                f"The revision changes tracked files under the data path {folder}: {named(below)}.",
                remedy="Keep what users write out of the repository; revert that change.",
            )


def _is_free(top: Path, path: str) -> bool:
    """Whether nothing is there yet, and Git can write it: it does so through no link."""
    return not os.path.lexists(top / path) and not in_the_way.link_above(top, path)
