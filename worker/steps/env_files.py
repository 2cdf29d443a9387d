"""Files of settings that Git tracks: what a person wrote there must stay in force.

Env files, and those of Compose's secrets and configs. A revision brings its own
values, and those of this host would be set aside with the other local changes: the
app would run with a sample's passwords. One that a revision stops tracking stays
where it is, for the services read it still; so does any file that they mount.
"""

import os
import shlex
from collections.abc import Iterable

from worker.adapters import compose
from worker.errors import GuardError
from worker.release import given_files
from worker.steps import lend, mounts
from worker.steps.attempt import Attempt
from worker.steps.mounts import Model

USUAL = ".env"  # what Compose reads without being told


def staying(attempt: Attempt, model: Model) -> list[str]:
    """Return the files, relative to the checkout, that services need and Git tracks no longer.

    `model` is the rendered one, whose paths are in the work folder still. Raises
    GuardError for settings that the revision tracks and that were edited on this host.
    """
    head = attempt.fact("preflight", "head")["revision"]
    revision = attempt.fact("preflight", "revision")
    changed = attempt.checkout.changed(head, revision)
    dropped = {path for path, status in changed.items() if status == "D"}
    edited = set(attempt.checkout.edited(head))
    if not edited and not dropped:
        return []
    found = _named(attempt) | _inside(attempt, (path for _, path in given_files(model)))
    if replaced := sorted(found & edited - dropped):
        files, checkout = shlex.join(replaced), attempt.app.checkout
        raise GuardError(
            f"Git tracks {', '.join(replaced)}, which the services read as settings and which was"
            " edited in the checkout: the revision would replace what was written there.",
            remedy=f"Run `git rm --cached {files}`, ignore it, and push: what stands on this host"
            f" stays as it is. Or give the edit up: `git -C {checkout} checkout -- {files}`.",
        )
    mounted = _inside(attempt, mounts.sources(model).values())
    return sorted((found | mounted) & dropped)


def _named(attempt: Attempt) -> set[str]:
    """Return the env files that the revision's services read; relative, as Git writes them."""
    app, work = attempt.app, attempt.work
    with lend.lent_to(attempt):
        paths = compose.env_files(work, app.compose_files, app.env_path)
    return {USUAL} | _inside(attempt, paths)


def _inside(attempt: Attempt, paths: Iterable[str]) -> set[str]:
    """Return those of the work folder's paths, as Git writes them."""
    relative = (os.path.relpath(path, attempt.work) for path in paths if path.startswith("/"))
    return {path for path in relative if not path.startswith("../")}
