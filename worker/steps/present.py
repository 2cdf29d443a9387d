"""Finds the release that runs now: the stored one, or the checkout's rendering.

Whichever matches the running containers, by the hash that Compose labels them
with. The image ids are the containers' own: a tag may have moved since.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from worker import durable
from worker.adapters import compose
from worker.adapters.containers import Container
from worker.adapters.git import Head
from worker.errors import CommandError, GuardError, NotFoundError
from worker.release import Release, image_names
from worker.steps.attempt import Attempt

Hashes = Mapping[str, str]


def release(
    attempt: Attempt, project: str, containers: list[Container], head: Head
) -> Release | None:
    """Return the running release, stored; None when the app never ran.

    Raises GuardError that names the difference when neither candidate matches.
    """
    if not containers:
        return None
    stored = _stored(attempt)
    if stored and _mends(attempt, stored):
        return stored
    wrong: list[str] = []
    if stored:
        wrong = differences(_hashes(stored, attempt, containers), containers)
        if not wrong:
            return _with_images_of(attempt, stored, containers)
    rendered, why_not = _rendered(attempt, project, head)
    if rendered:
        differing = differences(_hashes(rendered, attempt, containers), containers)
        if not differing:
            return _with_images_of(attempt, rendered, containers)
        why_not = "; ".join(differing)
    raise GuardError(
        f"What runs is neither the last release ({'; '.join(wrong) or 'none is stored'})"
        f" nor the checkout as it is ({why_not}), so there would be no way back to it.",
        remedy=f"Run `{compose.by_hand(attempt.app, project)} --remove-orphans` until it changes"
        " nothing, then deploy.",
    )


def differences(hashes: Hashes, containers: list[Container]) -> list[str]:
    """Return, for each container that the model would replace, a sentence."""
    found = []
    for one in containers:
        if one.service not in hashes:
            found.append(f"service {one.service} of container {one.name} is not in it")
        elif hashes[one.service] != one.config_hash:
            found.append(f"container {one.name} was made from other settings of {one.service}")
    return found


def _stored(attempt: Attempt) -> Release | None:
    running = attempt.decisions.read()["running"]
    if not running:
        return None
    try:
        return Release.load(attempt.state.releases, running["release"])
    except NotFoundError:
        return None


def _mends(attempt: Attempt, stored: Release) -> bool:
    """Whether a person mends an inconsistent app: then what runs may match nothing.

    But for a release whose images somebody removed: there is no way back to that one.
    """
    if any(attempt.engine.image_id(image) is None for _, image in stored.images.values()):
        return False
    hold = attempt.decisions.read()["hold"] or {}
    asked = attempt.deployment
    return hold.get("kind") == "inconsistent" and (
        asked.kind == "restore" or bool(asked.options.get("force"))
    )


def _rendered(attempt: Attempt, project: str, head: Head) -> tuple[Release | None, str]:
    """Return the checkout as it stands as a release, or why it is none."""
    app = attempt.app
    try:
        model = compose.render(
            app.checkout, app.compose_files, app.env_path, project, mark=attempt.id
        )
    except (CommandError, GuardError) as error:
        return None, error.message
    folder = attempt.state.releases / f"{attempt.id}-before"
    folder.mkdir(exist_ok=True, mode=0o700)
    durable.write(folder / "model.json", json.dumps(model).encode())
    return Release(folder.name, head.revision, project, folder, {}), ""


def _hashes(candidate: Release, attempt: Attempt, containers: list[Container]) -> Hashes:
    return compose.Compose(candidate.project, mark=attempt.id).hashes(
        candidate.model_path, attempt.app.checkout, containers
    )


def _with_images_of(attempt: Attempt, found: Release, containers: list[Container]) -> Release:
    """Return the release with the image ids that its containers really run."""
    names = image_names(found.model(), found.project)
    used = {one.service: one.image for one in containers}
    images = {}
    for service, name in names.items():
        image = used.get(service) or attempt.engine.image_id(name)
        if image:
            images[service] = (name, image)
    if dict(found.images) == images:
        return found
    folder = attempt.state.releases / f"{attempt.id}-before"
    if folder != found.folder:
        folder.mkdir(exist_ok=True, mode=0o700)
        durable.write(folder / "model.json", found.model_path.read_bytes())
    mine = replace(found, id=folder.name, folder=folder, images=images)
    mine.store()
    return mine
