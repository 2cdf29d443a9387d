"""What a revision's model must not do to the app's data; each refusal names the thing.

Judged before the build, on the rendered Compose model. What a revision's files
must not do is judged by `worker.steps.tracked`.
"""

from collections.abc import Mapping
from typing import Any

from worker.errors import GuardError
from worker.steps.attempt import Attempt

Mounts = dict[tuple[str, str], str]  # (service, destination) -> source


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
