"""Makes the new images while the old containers serve. Tags move; containers do not."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from worker.adapters.engine import Engine
from worker.errors import StepError
from worker.release import Release, image_names
from worker.steps import covered, guards, mounts, pinned, preflight
from worker.steps.attempt import Attempt, Facts
from worker.steps.pull import BUILD_MODEL

Images = Mapping[str, tuple[str, str]]  # service -> (image name, image id)


def run(attempt: Attempt) -> Facts:
    """Build and pull what is missing, pin old and new images, store the release."""
    folder = attempt.state.releases / attempt.id
    project = attempt.fact("preflight", "project")
    if old := attempt.old_release():
        pinned.pin(attempt, old)
    release = Release(attempt.id, attempt.fact("preflight", "revision"), project, folder, {})
    names = image_names(release.model(), project)
    if not _again(attempt, names):
        _build(attempt, folder / BUILD_MODEL)
    images = {service: (name, _needed(attempt.engine, name)) for service, name in names.items()}
    _declared_volumes(attempt, release, images)
    release = replace(release, images=images, previous=_previous(attempt, release, old))
    pinned.pin(attempt, release)
    release.store()
    return {"images": {service: image for service, (_, image) in images.items()}}


def _declared_volumes(attempt: Attempt, release: Release, images: Images) -> None:
    """Judge the volumes that only the images declare; nothing has been stopped yet."""
    declared = {name: attempt.engine.image_volumes(image) for name, (_, image) in images.items()}
    model = release.model()
    guards.nothing_is_lost(attempt, release.revision, model, declared)
    covered.judge(attempt, mounts.of_images(declared, model), release.revision)


def _previous(attempt: Attempt, new: Release, old: Release | None) -> str | None:
    """Return what a later rollback goes to: what ran before this revision came first."""
    if attempt.deployment.kind == "rollback":
        return preflight.rollback_target(attempt).previous
    if old and old.revision == new.revision:
        return old.previous
    return old.id if old else None


def _again(attempt: Attempt, names: dict[str, str]) -> bool:
    """For a manual rollback: use the images of that time, if Docker has them all."""
    if attempt.deployment.kind != "rollback":
        return False
    target = preflight.rollback_target(attempt)
    kept = {service: image for service, (_, image) in target.images.items()}
    if any(attempt.engine.image_id(kept.get(service, "-")) is None for service in names):
        return False
    for service, name in names.items():
        attempt.engine.tag(kept[service], name)
    return True


def _build(attempt: Attempt, model: Path) -> None:
    release = Release(attempt.id, "", attempt.fact("preflight", "project"), model.parent, {})
    services = release.model().get("services") or {}
    if any("build" in service for service in services.values()):
        attempt.compose.build(model, on_line=attempt.say)
    always = attempt.app.pull_images
    wanted = [
        name
        for name, image in foreign(services, release.project).items()
        if always or attempt.engine.image_id(image) is None
    ]
    if wanted:
        attempt.compose.pull(model, wanted, on_line=attempt.say)


def foreign(services: Mapping[str, Any], project: str) -> dict[str, str]:
    """Return service -> image of those whose image none of the services builds.

    One may run what another builds; a registry has no such image, or a stranger's.
    """
    names = image_names({"services": services}, project)
    built = {_full(names[service]) for service, one in services.items() if "build" in one}
    return {service: image for service, image in names.items() if _full(image) not in built}


def _full(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _needed(engine: Engine, name: str) -> str:
    image = engine.image_id(name)
    if image is None:
        raise StepError(f"The build left no image {name}.", remedy="Look at the build's log.")
    return image
