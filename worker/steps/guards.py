"""What a revision must not do to the app's data; each refusal names the thing.

Judged before the build, on the exported revision and its rendered model.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.errors import GuardError
from worker.steps.attempt import Attempt

Mounts = dict[tuple[str, str], str]  # (service, destination) -> source


def revision(attempt: Attempt, wanted: str) -> None:
    """Refuse a revision whose files would overwrite data, secrets or a person's files."""
    app, checkout = attempt.app, attempt.checkout
    inside = app.env_file and not Path(app.env_file).is_absolute()
    if inside and checkout.tracked(wanted, [str(app.env_file)]):
        raise GuardError(
            f"Revision {wanted[:12]} tracks the env file {app.env_file}.",
            remedy=f"Run `git rm --cached {app.env_file}`, ignore it, and push.",
        )
    if checkout.tracked(wanted, [".gitmodules"]):
        raise GuardError(
            f"Revision {wanted[:12]} has submodules, which are not fetched.",
            remedy="Put their files into the repository itself.",
        )
    head = attempt.fact("preflight", "head")["revision"]
    changed = checkout.changed(head, wanted)
    _no_change_below_data(attempt, changed)
    _nothing_in_the_way(attempt, changed)


def _no_change_below_data(attempt: Attempt, changed: Mapping[str, str]) -> None:
    """Refuse a change to what users may have replaced; a new file where none is, is none."""
    top = attempt.app.checkout
    for folder in attempt.app.data.uploads:
        below = [
            path
            for path, status in changed.items()
            if below_folder(path, folder)
            and not (status == "A" and not os.path.lexists(top / path))
        ]
        if below:
            raise GuardError(
                f"The revision changes tracked files under the data path {folder}:"
                f" {', '.join(below[:5])}.",
                remedy="Keep what users write out of the repository; revert that change.",
            )


def below_folder(path: str, folder: str) -> bool:
    """Return whether a path is a folder, or lies in it; both relative to the checkout."""
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def _nothing_in_the_way(attempt: Attempt, changed: Mapping[str, str]) -> None:
    """Refuse when a file that Git does not know stands where the revision adds one."""
    top = attempt.app.checkout
    for path, status in changed.items():
        standing = _in_the_way(top, path, changed) if status == "A" else None
        if standing:
            raise GuardError(
                f"The untracked file {standing} in the checkout is in the way of the"
                f" revision's {path}.",
                remedy=f"Move {top / standing} away, or commit it.",
            )


def _in_the_way(top: Path, path: str, changed: Mapping[str, str]) -> str | None:
    """Return the file that Git would delete, unasked, to make room for this one."""
    if _is_file(top / path):
        return path
    above = (str(folder) for folder in [*Path(path).parents][:-1])
    below = (str(inside.relative_to(top)) for inside in (top / path).rglob("*"))
    unknown = (one for one in (*above, *below) if one not in changed)
    return next((one for one in unknown if _is_file(top / one)), None)


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def model(attempt: Attempt, new: Mapping[str, Any]) -> None:
    """Refuse a model that runs programs of the host, or takes a mount away."""
    for name, service in (new.get("services") or {}).items():
        if "provider" in service:
            raise GuardError(
                f"Service {name} has a `provider`: Compose would run a program of the host.",
                remedy="Remove it.",
            )
    old = attempt.old_release()
    if old:
        _mounts_stay(mounts(old.model()), mounts(new), set(new.get("services") or {}))
    _data_is_mounted(attempt, mounts(new))


def mounts(model_: Mapping[str, Any]) -> Mounts:
    """Return what each service mounts where."""
    return {
        (name, volume["target"]): str(volume.get("source", ""))
        for name, service in (model_.get("services") or {}).items()
        for volume in service.get("volumes") or ()
        if volume["type"] in ("bind", "volume")
    }


def _mounts_stay(old: Mounts, new: Mounts, services: set[str]) -> None:
    for (service, destination), source in old.items():
        if service in services and new.get((service, destination)) != source:
            now = new.get((service, destination))
            raise GuardError(
                f"Service {service} would lose its data at {destination}: it is mounted from"
                f" {source or 'a volume'} now, and from {now or 'nothing'} in the revision.",
                remedy="Keep the mount, or move the data first and deploy the change by hand.",
            )


def _data_is_mounted(attempt: Attempt, new: Mounts) -> None:
    """Refuse when no service mounts an uploads folder: the backup would save the wrong one."""
    for folder in attempt.app.upload_paths:
        if not any(_covers(source, str(folder)) for source in new.values()):
            raise GuardError(
                f"No service of the revision mounts the uploads folder {folder}.",
                remedy="Mend data.uploads, or the volumes of the Compose file.",
            )


def _covers(source: str, folder: str) -> bool:
    return f"{folder}/".startswith(f"{source.rstrip('/')}/") or source.startswith(f"{folder}/")
