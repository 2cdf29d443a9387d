"""Finds the release that runs now: the stored one, or the checkout's rendering.

Whichever matches the running containers, by the hash that Compose labels them
with. The image ids are the containers' own: a tag may have moved since.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from worker import durable
from worker.adapters import compose
from worker.adapters.containers import Container
from worker.adapters.git import Head
from worker.errors import CommandError, GuardError
from worker.release import Release, image_names
from worker.steps import layers, ownership
from worker.steps.attempt import Attempt
from worker.steps.mounts import is_below

Hashes = Mapping[str, str]


def release(
    attempt: Attempt, project: str, containers: list[Container], head: Head
) -> Release | None:
    """Return the running release, stored; None when the app never ran.

    Raises GuardError that names the difference when neither candidate matches.
    """
    if not containers:
        return None
    stored = ownership.running_release(attempt.state)
    if stored and _mends(attempt, stored):
        return stored
    wrong: list[str] = []
    if stored:
        wrong = differences(_hashes(stored, attempt, containers), containers)
        if not wrong:
            return _with_images_of(attempt, stored, containers)
    rendered, why_not = _rendered(attempt, project, head)
    orphans: list[str] = []
    if rendered:
        hashes = _hashes(rendered, attempt, containers)
        differing = differences(hashes, containers)
        orphans = [one.name for one in containers if one.service not in hashes]
        if not differing:
            return _with_images_of(attempt, rendered, containers)
        why_not = "; ".join(differing)
        layers.judge_model(attempt, containers, rendered.model())
    started, remedy = _otherwise(attempt, project, containers, orphans)
    raise GuardError(
        f"What runs is neither the last release ({'; '.join(wrong) or 'none is stored'})"
        f" nor the checkout as it is ({why_not}), so there would be no way back to it.{started}",
        remedy=remedy,
    )


def _otherwise(
    attempt: Attempt, project: str, containers: list[Container], orphans: list[str]
) -> tuple[str, str]:
    """Return how the containers were started, if not as configured, and what to do.

    The remedy's command recreates them from the checkout, as it stands; containers
    that it does not know are a person's to remove, as they may hold data.
    """
    app = attempt.app
    gone = f"remove what is not needed (`docker rm -f {' '.join(orphans)}`) and " if orphans else ""
    command = f"`{compose.by_hand(app, project)}`"
    again = f"{gone}run {command}, which makes the containers what the checkout says, then deploy."
    wanted = _inside(app.checkout, [str(app.env_path)] if app.env_path else [])
    for one in containers:
        files, env_files = _started_with(one, app.checkout, attempt.state.releases)
        if files and (files != list(app.compose_files) or env_files not in ([], wanted)):
            words = [f"-f {name}" for name in files] + [f"--env-file {name}" for name in env_files]
            keys = f"compose_files = {json.dumps(files)}"
            keys += f" and env_file = {json.dumps(env_files[-1])}" if env_files else ""
            return (
                f" Container {one.name} was started with {' '.join(words)}.",
                f"If that is meant, set {keys} for apps.{app.name} in sheetanchor.toml, restart"
                f" sheetanchor, and deploy. Else {again}",
            )
    return "", again[0].upper() + again[1:]


def _started_with(one: Container, checkout: Path, releases: Path) -> tuple[list[str], list[str]]:
    """Return the Compose files and env files of a container that a person started."""
    if any(name.startswith(f"{releases}/") for name in one.files):
        return [], []  # it is one of ours
    return _inside(checkout, one.files), _inside(checkout, one.env_files)


def _inside(checkout: Path, names: Sequence[str]) -> list[str]:
    """Return paths relative to the checkout where they lie in it."""
    return [name.removeprefix(f"{checkout}/") for name in names]


def shows_other_files(
    attempt: Attempt, containers: Sequence[Container], head: Head, revision: str
) -> bool:
    """Whether a container mounts tracked files of the checkout that are not the revision's.

    No hash and no image tells of those: somebody checked out, or edited, something else.
    """
    checkout, without = attempt.checkout, attempt.left_alone
    paths = {*checkout.changed(revision, head.revision, without=without)}
    paths |= {*checkout.edited(head.revision, without=without)}
    top = os.path.realpath(attempt.app.checkout)
    mounted = {os.path.realpath(m.source) for one in containers for m in one.mounts}
    return any(is_below(f"{top}/{path}", source) for path in paths for source in mounted)


def differences(hashes: Hashes, containers: list[Container]) -> list[str]:
    """Return, for each container that the model would replace, a sentence."""
    found = []
    for one in containers:
        if one.service not in hashes:
            found.append(f"service {one.service} of container {one.name} is not in it")
        elif hashes[one.service] != one.config_hash:
            found.append(f"container {one.name} was made from other settings of {one.service}")
    return found


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
