"""What stands in the checkout where a revision's files are to be written.

Judged before anything is stopped. After the fence each of these would end the
move half-way, and the way back with it; or, worse, Git would make room: it takes a
link away, unasked, where the revision has a folder (measured).
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from worker.adapters import access
from worker.errors import GuardError
from worker.steps.attempt import Attempt

NAMED = 5  # files in a sentence

Changes = Mapping[str, str]  # path -> Git's status letter, from the checkout's HEAD


def judge(attempt: Attempt, changed: Changes) -> None:
    """Refuse a revision that cannot be written as it is, or only over a person's files."""
    head, without = attempt.fact("preflight", "head")["revision"], attempt.left_alone
    moved = {*changed, *attempt.checkout.edited(head, without=without)}
    _no_link_is_a_folder(attempt, changed, moved)
    _nothing_unknown(attempt, changed)
    _git_may_write(attempt, moved)


def named(paths: Sequence[str]) -> str:
    """Return the first of these paths, for a sentence."""
    return ", ".join(paths[:NAMED]) + (", …" if len(paths) > NAMED else "")


def link_above(top: Path, path: str) -> str | None:
    """Return the first folder of a path that is a link; None when none is."""
    above = (str(folder) for folder in reversed([*Path(path).parents][:-1]))
    return next((one for one in above if (top / one).is_symlink()), None)


def _no_link_is_a_folder(attempt: Attempt, changed: Changes, moved: Iterable[str]) -> None:
    """Refuse when a person put a link where the revision has a folder.

    What is behind it looks deleted to Git; it would make the folder in the link's
    place, and the app would find that one's files only.
    """
    top = attempt.app.checkout
    for path in sorted(one for one in moved if changed.get(one) != "D"):
        link = link_above(top, path)
        if link and link not in changed:
            raise GuardError(
                f"{link} is a link to {(top / link).readlink()} in the checkout and a folder in"
                f" the revision, with {path}: Git would put that folder in the link's place.",
                remedy=f"Run `git rm -r --cached {shlex.quote(link)}`, ignore it, and push: the"
                " link stays as it is. Or put a folder there again.",
            )


def _nothing_unknown(attempt: Attempt, changed: Changes) -> None:
    """Refuse when files that Git does not know stand where the revision adds some."""
    top = attempt.app.checkout
    added = (path for path, status in changed.items() if status == "A")
    found = sorted({one for path in added if (one := _in_the_way(top, path, changed))})
    if found:
        many = "s" if len(found) > 1 else ""
        raise GuardError(
            f"The untracked file{many} {named(found)} in the checkout {'are' if many else 'is'}"
            " in the way of files that the revision adds.",
            remedy=f"Move {', '.join(str(top / one) for one in found)} away, or commit"
            f" {'them' if many else 'it'}.",
        )


def _in_the_way(top: Path, path: str, changed: Changes) -> str | None:
    """Return the file that Git would delete, unasked, to make room for this one."""
    if _is_file(top / path):
        return path
    above = (str(folder) for folder in [*Path(path).parents][:-1])
    below = (str(inside.relative_to(top)) for inside in (top / path).rglob("*"))
    unknown = (one for one in (*above, *below) if one not in changed)
    return next((one for one in unknown if _is_file(top / one)), None)


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _git_may_write(attempt: Attempt, moved: Iterable[str]) -> None:
    """Refuse when Git's user may not make or remove files where it has to."""
    top = attempt.app.checkout
    folders = sorted({_nearest(top / path) for path in moved})
    if found := access.unwritable(folders, attempt.checkout.owner()):
        raise not_its_users(attempt, found, *found)


def _nearest(path: Path) -> Path:
    return next(one for one in path.parents if one.is_dir())


def not_its_users(attempt: Attempt, found: Sequence[Path], *mended: Path) -> GuardError:
    """Return the error that Git's user may not write in these places; `mended`: what to give it."""
    owner = attempt.checkout.owner()
    places = shlex.join(map(str, mended))
    return GuardError(
        f"Git runs as user {owner.uid}, the owner of {attempt.app.checkout}, which may not write"
        f" in {named([str(one) for one in found])}.",
        remedy=f"Run `chown -R {owner.uid}:{owner.gid} {places}`, or let that user write there in"
        " another way, then deploy.",
    )
