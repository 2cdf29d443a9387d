"""Env files that Git tracks: what a person wrote into them on this host must stay in force.

A revision brings its own values, and those of this host would be set aside with
the other local changes: the app would run with a sample's passwords. One that a
revision stops tracking stays where it is, for the services read it still.
"""

import os
import shlex
from pathlib import Path

from worker.adapters import compose
from worker.errors import GuardError
from worker.steps import lend
from worker.steps.attempt import Attempt

USUAL = ".env"  # what Compose reads without being told


def staying(attempt: Attempt) -> list[str]:
    """Return the env files, relative to the checkout, that the revision no longer tracks.

    Raises GuardError for one that it tracks and that was edited on this host.
    """
    head = attempt.fact("preflight", "head")["revision"]
    revision = attempt.fact("preflight", "revision")
    changed = attempt.checkout.changed(head, revision)
    dropped = {path for path, status in changed.items() if status == "D"}
    edited = set(attempt.checkout.edited(head))
    if not edited and not dropped:
        return []
    found = _named(attempt)
    if replaced := sorted(found & edited - dropped):
        files, checkout = shlex.join(replaced), attempt.app.checkout
        raise GuardError(
            f"Git tracks {', '.join(replaced)}, which the services read as env files and which"
            " was edited in the checkout: the revision would replace what was written there.",
            remedy=f"Run `git rm --cached {files}`, ignore it, and push: what stands on this host"
            f" stays as it is. Or give the edit up: `git -C {checkout} checkout -- {files}`.",
        )
    return sorted(found & dropped)


def _named(attempt: Attempt) -> set[str]:
    """Return the env files that the revision's services read; relative, as Git writes them."""
    app, work = attempt.app, attempt.work
    with lend.lent_to(attempt):
        paths = compose.env_files(work, app.compose_files, app.env_path)
    inside = [os.path.relpath(path, work) for path in map(Path, paths)]
    return {USUAL, *(path for path in inside if not path.startswith("../"))}
