"""Every key of a model outside its services: networks, volumes, configs, secrets."""

from collections.abc import Iterator, Mapping
from typing import Any

from worker.steps.privileges.keys import Reaches, shown

# What services make of them is judged there; `include` is in the model, and never remote.
HARMLESS = frozenset(["version", "name", "include", "models"])

NETWORK_GUARDED = frozenset(["name", "driver", "driver_opts", "external", "internal"])
NETWORK_HARMLESS = frozenset(["ipam", "enable_ipv4", "enable_ipv6", "attachable", "labels"])
VOLUME_GUARDED = frozenset(["name", "driver", "driver_opts", "external"])
VOLUME_HARMLESS = frozenset(["labels"])
# Only a swarm has external ones and drivers; Compose refuses or ignores them.
FILE_GUARDED = frozenset(["file"])
FILE_HARMLESS = frozenset(
    [
        "name",
        "content",
        "environment",
        "external",
        "labels",
        "driver",
        "driver_opts",
        "template_driver",
    ]
)


def privileges(model: Mapping[str, Any], reaches: Reaches) -> Iterator[str]:
    """Yield what a model's networks, volumes, configs and secrets may do."""
    project = str(model.get("name", ""))
    for name, network in (model.get("networks") or {}).items():
        yield from _shared_thing("network", name, network or {}, project, "bridge")
    for name, volume in (model.get("volumes") or {}).items():
        yield from _shared_thing("volume", name, volume or {}, project, "local")
    for kind in ("configs", "secrets"):
        for name, one in (model.get(kind) or {}).items():
            if (path := (one or {}).get("file")) and reaches(str(path)):
                yield f"{kind[:-1]} {name} is the file {reaches(str(path))}"


def _shared_thing(
    kind: str, name: str, one: Mapping[str, Any], project: str, usual: str
) -> Iterator[str]:
    """A name of its own is another project's way in: Compose takes what has that name."""
    own = f"{project}_{name}"
    called = str(one.get("name") or own)
    if one.get("external") or called != own:
        yield f"{kind} {name} is {called}, which other projects may use"
    if one.get("driver") and one["driver"] != usual:
        yield f"{kind} {name} is made by the driver {one['driver']}"
    if one.get("driver_opts"):
        yield f"{kind} {name} is made with the options {shown(one['driver_opts'])}"
