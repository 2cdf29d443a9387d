"""A release: what can be switched to without asking anyone.

A revision, its rendered Compose model and its image ids, in
`releases/<id>/{model.json,images.json}`. The model holds the env files' secrets:
0600. The ids are pinned by tags `sheetanchor/<app>:<release>-<service>`, so that
pruning dangling images does not take them.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from worker import durable
from worker.errors import NotFoundError

KINDS = ("configs", "secrets")  # what Compose puts into containers from files and variables
VARIABLES = "x-sheetanchor-variables"  # of a model: what Compose is given at `up`


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
        stored = durable.read_json(folder / "images.json")
        if stored is None:
            raise NotFoundError(
                f"Release {release} is not stored.", remedy="Name one that `history` shows."
            )
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


def given_files(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return each service with each file that it is given as a config or secret."""
    return [(service, one["file"]) for service, one in _given(model) if one.get("file")]


def put_inside(model: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return service -> what Compose writes into its containers before it starts them.

    These are configs and secrets from a variable or from the Compose file itself.
    """
    variables = model.get(VARIABLES) or {}
    found: dict[str, list[str]] = {}
    for service, one in _given(model):
        value = one.get("content", variables.get(one.get("environment")))
        if value is not None:
            found.setdefault(service, []).append(value)
    return found


def with_other_contents(left: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Return services that have other configs or secrets put inside in the new model.

    Compose sees no difference (2.40, measured): a running container keeps the old ones.
    """
    then, now = put_inside(left), put_inside(new)
    return {service for service in now if now[service] != then.get(service)}


def _given(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, service in (model.get("services") or {}).items():
        for kind in KINDS:
            for one in service.get(kind) or ():
                yield name, (model.get(kind) or {}).get(one["source"]) or {}


def with_pre_stop(model: Mapping[str, Any]) -> set[str]:
    """Return the services that have something done in their containers before these stop."""
    return {name for name, one in (model.get("services") or {}).items() if one.get("pre_stop")}


def replicas(service: Mapping[str, Any]) -> int:
    """Return how many containers Compose makes of a service; `scale` goes before `deploy`."""
    wanted = service.get("scale")
    if wanted is None:
        wanted = (service.get("deploy") or {}).get("replicas")
    return 1 if wanted is None else int(wanted)


def sharing(model: dict[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    """Return the model with the services that others share replaced by their containers.

    `up` hashes a service with `volumes_from: [ID]`, where `config --hash` knows only
    services (2.40, measured): so each such container gets a service that stands for it.
    """
    services = model.get("services") or {}
    for service in services.values():
        for key in ("network_mode", "ipc", "pid"):
            kind, _, other = str(service.get(key) or "").partition(":")
            if kind == "service" and other in ids:
                service[key] = f"container:{ids[other]}"
        if shared := service.get("volumes_from"):
            service["volumes_from"] = [_volumes_of(one, ids) for one in shared]
    borrowed = {one for service in services.values() for one in service.get("volumes_from") or ()}
    return {**model, "services": {one: {"image": "none"} for one in borrowed} | services}


def _volumes_of(shared: str, ids: Mapping[str, str]) -> str:
    name, _, rest = shared.partition(":")
    return rest.partition(":")[0] if name == "container" else ids.get(name, shared)


def policy_of(service: Mapping[str, Any]) -> dict[str, Any]:
    """Return the restart policy that Compose gives a service's containers."""
    word, _, count = str(service.get("restart") or "").partition(":")
    rule = (service.get("deploy") or {}).get("restart_policy")
    if not word and rule:
        names = {"none": "no", "on-failure": "on-failure"}
        word = names.get(rule.get("condition", "any"), "always")
        count = str(rule.get("max_attempts") or "")
    return {"Name": word or "no", "MaximumRetryCount": int(count or 0)}
