"""A release: what can be switched to without asking anyone.

A revision, its rendered Compose model and its image ids, in
`releases/<id>/{model.json,images.json}`. The model holds the env files' secrets:
0600. The ids are pinned by tags `sheetanchor/<app>:<release>-<service>`, so that
pruning dangling images does not take them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from worker import durable
from worker.errors import NotFoundError


@dataclass(frozen=True)
class Release:
    """`images`: service -> (image name, image id).

    `previous` is the release that ran before this revision was first deployed.
    """

    id: str
    revision: str
    project: str
    folder: Path
    images: Mapping[str, tuple[str, str]]
    previous: str | None = None

    @property
    def model_path(self) -> Path:
        """The rendered model, as Compose reads it."""
        return self.folder / "model.json"

    def model(self) -> dict[str, Any]:
        """Return the rendered model."""
        loaded: dict[str, Any] = json.loads(self.model_path.read_text())
        return loaded

    @classmethod
    def load(cls, releases: Path, release: str) -> Self:
        """Return a stored release. Raises NotFoundError."""
        folder = releases / release
        try:
            stored = json.loads((folder / "images.json").read_text())
        except FileNotFoundError as error:
            raise NotFoundError(
                f"Release {release} is not stored.", remedy="Name one that `history` shows."
            ) from error
        images = {service: (name, image) for service, (name, image) in stored["images"].items()}
        previous = stored["previous"]
        return cls(release, stored["revision"], stored["project"], folder, images, previous)

    def store(self) -> None:
        """Write `images.json`, last: a folder without it is no release."""
        stored = {
            "revision": self.revision,
            "project": self.project,
            "images": self.images,
            "previous": self.previous,
        }
        durable.write(self.folder / "images.json", json.dumps(stored, indent=1).encode())


def image_names(model: Mapping[str, Any], project: str) -> dict[str, str]:
    """Return service -> image name; Compose derives it where the model has none."""
    services = model.get("services") or {}
    return {name: one.get("image") or f"{project}-{name}" for name, one in services.items()}


def pin_name(app: str, release: str, service: str) -> str:
    """Return the tag that holds a release's image of a service."""
    return f"sheetanchor/{app}:{release}-{service}"


def policy_of(service: Mapping[str, Any]) -> dict[str, Any]:
    """Return the restart policy that Compose gives a service's containers."""
    word, _, count = str(service.get("restart") or "").partition(":")
    rule = (service.get("deploy") or {}).get("restart_policy")
    if not word and rule:
        names = {"none": "no", "on-failure": "on-failure"}
        word = names.get(rule.get("condition", "any"), "always")
        count = str(rule.get("max_attempts") or "")
    return {"Name": word or "no", "MaximumRetryCount": int(count or 0)}
