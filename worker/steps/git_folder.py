"""Whether the checkout's Git folder is one that a deployment can work with.

Judged before anything else, while the app serves. A folder that is elsewhere has no
lock of the app's, and what is moved there moves for others, too. What a person's Git
left half done (a merge, say) would be ended wrongly by their next command, once the
checkout is at another revision.
"""

import shlex

from worker.adapters import access
from worker.errors import GuardError
from worker.steps.attempt import Attempt
from worker.steps.in_the_way import not_its_users

# What Git leaves in its folder while it waits for a person, and the command that it is of.
HALF_DONE = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply/applying": "am",
    "rebase-apply": "rebase",
}


def judge(attempt: Attempt) -> None:
    """Refuse a Git folder that is elsewhere, half-way through something, or not writable."""
    _is_inside(attempt)
    nothing_half_done(attempt)
    _git_may_write(attempt)


def _is_inside(attempt: Attempt) -> None:
    """Refuse the checkout of a worktree or submodule, whose Git folder others share."""
    top = attempt.app.checkout
    if not (top / ".git").is_file():
        return
    mine, shared = attempt.checkout.elsewhere()
    new, link = f"{top}.own", shlex.quote(str(top / ".git"))
    own, was = shlex.quote(new), shlex.quote(f"{top}.git-was")
    files = shlex.join([str(mine / "HEAD"), str(mine / "index")])
    raise GuardError(
        f"{top}/.git is a file: the Git folder is {mine}, as in a worktree or a submodule, and"
        " others may move it.",
        remedy="Give the checkout a Git folder of its own, with the same commits: run"
        f" `cp -a {shlex.quote(str(shared))} {own} && cp {files} {own} && mv {link} {was}"
        f" && mv {own} {link} && git config --file {link}/config core.bare false"
        f" && git config --file {link}/config core.worktree ..`, then deploy.",
    )


def nothing_half_done(attempt: Attempt) -> None:
    """Refuse while a merge, say, waits for a person: it may have begun during the build."""
    top, git = attempt.app.checkout, attempt.checkout.git_dir
    for name, what in HALF_DONE.items():
        if (git / name).exists():
            raise GuardError(
                f"A `git {what}` in {top} is half done ({git / name} is there).",
                remedy=f"Finish it there, or run `git -C {shlex.quote(str(top))} {what} --abort`;"
                " then deploy.",
            )


def _git_may_write(attempt: Attempt) -> None:
    """Refuse a folder in which Git's user may not write: root's `git pull` leaves such."""
    git, owner = attempt.checkout.git_dir, attempt.checkout.owner()
    inside = [git / name for name in ("objects", "refs", "logs")]
    found = [*access.unwritable([git], owner), *access.unwritable_below(inside, owner)]
    if found:
        raise not_its_users(attempt, found, git)
