"""Refuses to replace a container that wrote uploads into its own layer, where they end with it.

That is what happens while the mount is missing: the app writes to the same path,
and nobody notices until the mount is added and the container made anew. A person
has them copied to where the new container will look (`sheetanchor rescue`); from
then on each backup has them.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from worker.adapters import layer
from worker.adapters.containers import Container
from worker.errors import GuardError
from worker.steps import mounts
from worker.steps.attempt import Attempt
from worker.steps.mounts import Model, Mount

NAMED = 5  # files in a sentence
LAYERS = "layers"  # what is noted for `rescue`: container, folder in it, folder of the host


def judge(attempt: Attempt, containers: Iterable[Container], after: Iterable[Mount]) -> None:
    """Raise GuardError when a container holds uploads that the folder to be mounted has not."""
    found = list(_found(attempt, containers, list(after)))
    if not found:
        return
    attempt.note({LAYERS: [[one.id, mount.target, mount.source] for one, mount, _ in found]})
    said = "; ".join(
        f"{one.name} below {mount.target}: {', '.join(names[:NAMED])}"
        f"{f' and {len(names) - NAMED} more' if len(names) > NAMED else ''}"
        for one, mount, names in found
    )
    places = ", ".join(sorted({mount.source for _, mount, _ in found}))
    raise GuardError(
        f"Uploads were written into a container itself, and would be gone with it: {said}.",
        remedy=f"Run `sheetanchor rescue {attempt.id}`: it copies them to {places},"
        " overwrites nothing, and deploys.",
    )


def judge_model(attempt: Attempt, containers: Iterable[Container], model: Model) -> None:
    """Judge with the checkout's own model: a person's `up` there replaces containers, too."""
    judge(attempt, containers, mounts.as_it_stands(model, attempt.engine))


def _found(
    attempt: Attempt, containers: Iterable[Container], after: list[Mount]
) -> Iterator[tuple[Container, Mount, list[str]]]:
    folders = [os.path.realpath(path) for path in attempt.app.upload_paths]
    for one in containers:
        for mount in after:
            if mount.service != one.service or _is_mounted(one, mount.target):
                continue
            if mount.kind == "bind" and any(mounts.is_below(mount.source, f) for f in folders):
                names = layer.not_in(attempt.engine, one.id, mount.target, Path(mount.source))
                if names:
                    yield one, mount, names


def _is_mounted(one: Container, target: str) -> bool:
    return any(mounts.is_below(target, mounted.destination) for mounted in one.mounts)
