"""What services mount, told alike of running containers and of a rendered model.

A volume whose driver only binds a folder of the host *is* that bind mount: its
name hides it. What a volume's definition says counts only until Docker has the
volume; from then on the volume stays as it was made, whatever the file says.
"""

import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from worker.adapters.containers import NAMELESS, Container, Mounted, Volume
from worker.adapters.engine import Engine

Model = Mapping[str, Any]
Look = Callable[[str], Volume | None]  # Docker's volume of that name
Real = Callable[[str], str]  # a path without symbolic links
Lent = Callable[[str], Sequence[Mounted]]  # what a container of that name mounts

NAMES = {"anonymous": "an anonymous volume", "memory": "memory"}
NOT_KEPT = ("/proc", "/sys", "/dev", "/run")  # the kernel's, or in memory: never data


@dataclass(frozen=True)
class Mount:
    """One mount of a service. `source`: a path without links, a volume's name, or nothing."""

    service: str
    target: str
    kind: str  # bind, volume, anonymous, memory
    source: str
    writable: bool

    @property
    def place(self) -> str:
        """How `data.not_covered` names it."""
        return f"{self.service}:{self.target}"

    @property
    def what(self) -> str:
        """What is mounted, in words."""
        if self.kind in NAMES:
            return NAMES[self.kind]
        return self.source if self.kind == "bind" else f"the volume {self.source}"

    def same_source(self, other: "Mount | None") -> bool:
        """Whether both show the same data; an anonymous volume is its container's own."""
        if other is None:
            return False
        same = (self.kind, self.source) == (other.kind, other.source)
        return same and (self.kind != "anonymous" or self.place == other.place)


def of_containers(containers: Iterable[Container], look: Look) -> list[Mount]:
    """Return what containers really mount, the volumes that only an image declares too."""
    return [
        _mount(one.service, mount, look)
        for one in containers
        for mount in one.mounts
        if mount.type in ("bind", "volume", "cluster")
    ]


def _mount(service: str, mount: Mounted, look: Look) -> Mount:
    target = mount.destination
    if mount.type == "bind":
        return Mount(service, target, "bind", os.path.realpath(mount.source), mount.writable)
    if NAMELESS.fullmatch(mount.name):
        return Mount(service, target, "anonymous", "", mount.writable)
    if device := _device(look(mount.name)):
        return Mount(service, target, "bind", os.path.realpath(device), mount.writable)
    return Mount(service, target, "volume", mount.name, mount.writable)


def of_model(model: Model, real: Real, look: Look, lent: Lent) -> list[Mount]:
    """Return what a model's services mount, without what their images declare.

    `volumes_from` gives a service all that the other mounts, the other's borrowed ones
    too, or what any container of this host mounts now.
    """
    own = {name: list(_of_service(name, model, real, look)) for name in model.get("services") or {}}
    found: dict[tuple[str, str], Mount] = {}
    for name, mine in own.items():
        borrowed: list[Mount] = []
        for other in lenders(model, name):
            theirs = own[other] if other in own else [_mount(name, o, look) for o in lent(other)]
            borrowed += (replace(one, service=name) for one in theirs)
        for one in (*mine, *borrowed):  # its own stands before what it takes
            found.setdefault((name, one.target), one)
    return list(found.values())


def as_it_stands(model: Model, engine: Engine) -> list[Mount]:
    """Return what a model's services mount of the host as it is now."""
    return of_model(model, os.path.realpath, engine.volume, lambda one: engine.mounts(one) or ())


def lenders(model: Model, service: str, above: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield whose volumes a service takes: services, and those whose volumes these take.

    The name of another container, too. A `:ro` is not looked at: Compose 2.40 drops it
    from what it makes (measured), and what is mounted can be written.
    """
    services = model.get("services") or {}
    own_names = {
        str(one.get("container_name") or f"{model.get('name')}-{name}-1"): name
        for name, one in services.items()
    }
    for entry in (services.get(service) or {}).get("volumes_from") or ():
        kind, _, rest = str(entry).partition(":")
        named = rest.partition(":")[0]
        other = own_names.get(named, named) if kind == "container" else kind
        yield other
        if other in services and other not in above:
            yield from lenders(model, other, above | {service})


def _of_service(name: str, model: Model, real: Real, look: Look) -> Iterator[Mount]:
    for volume in model["services"][name].get("volumes") or ():
        target, writable = posixpath.normpath(volume["target"]), not volume.get("read_only")
        if volume["type"] == "bind":
            yield Mount(name, target, "bind", real(str(volume["source"])), writable)
        elif volume["type"] in ("volume", "cluster"):
            key = volume.get("source")
            kind, source = _source(model, key, real, look) if key else ("anonymous", "")
            yield Mount(name, target, kind, source, writable)


def _source(model: Model, key: str, real: Real, look: Look) -> tuple[str, str]:
    name, stated = named_volume(model, key)
    if device := _device(look(name) or stated):
        return "bind", real(device)
    return "volume", name


def named_volume(model: Model, key: str) -> tuple[str, Volume]:
    """Return a named volume's name in Docker and how the model would make it."""
    defined = (model.get("volumes") or {}).get(key) or {}
    name = str(defined.get("name") or f"{model.get('name')}_{key}")
    options = {name: str(value) for name, value in (defined.get("driver_opts") or {}).items()}
    return name, Volume(str(defined.get("driver") or "local"), options)


def _device(volume: Volume | None) -> str | None:
    """Return the folder that a volume binds, or None for one that Docker keeps itself."""
    if volume is None or volume.driver != "local":
        return None
    words = volume.options.get("o", "").split(",")
    return volume.options.get("device") if {"bind", "rbind"} & set(words) else None


def of_images(declared: Mapping[str, Iterable[str]], model: Model) -> list[Mount]:
    """Return the anonymous volumes that images declare where the model mounts nothing.

    A service that takes the volumes of another has those of its image, too.
    """
    services = model.get("services") or {}
    found: dict[tuple[str, str], Mount] = {}
    for name in declared:
        for other in (name, *lenders(model, name)):
            taken = _taken(services[name]) | _taken(services.get(other) or {})
            for target in map(posixpath.normpath, declared.get(other, ())):
                if target not in taken:
                    one = Mount(name, target, "anonymous", "", writable=True)
                    found.setdefault((name, target), one)
    return list(found.values())


def _taken(service: Model) -> set[str]:
    """Return where a service mounts anything, memory too."""
    volumes = [volume["target"] for volume in service.get("volumes") or ()]
    return {*_in_memory(service), *map(posixpath.normpath, volumes)}


def _in_memory(service: Model) -> set[str]:
    """Return where a service mounts memory (`tmpfs: ["/run:size=64m"]`, or a long form)."""
    short = [str(one).partition(":")[0] for one in service.get("tmpfs") or ()]
    volumes = service.get("volumes") or ()
    long = [volume["target"] for volume in volumes if volume["type"] == "tmpfs"]
    return set(map(posixpath.normpath, [*short, *long]))


def hiding(model: Model, there: Sequence[Mount]) -> Iterator[tuple[Mount, str]]:
    """Yield each mount that lies over a part of a folder, with that part's path on the host.

    What is in the part is out of the app's sight. Memory hides, too.
    """
    for name, service in (model.get("services") or {}).items():
        own = [one for one in there if one.service == name]
        memory = [
            Mount(name, target, "memory", "", writable=True) for target in _in_memory(service)
        ]
        for one, over in ((one, over) for one in own for over in (*own, *memory)):
            part = posixpath.join(one.source, posixpath.relpath(over.target, one.target))
            inside = one.target != over.target and is_below(over.target, one.target)
            if one.kind == "bind" and inside and part != over.source:
                yield over, part


def can_hold_data(mount: Mount) -> bool:
    """Whether something may be written there that outlives the container."""
    if not mount.writable:
        return False
    if mount.kind != "bind":
        return True
    if any(is_below(mount.source, place) for place in NOT_KEPT):
        return False
    try:
        mode = Path(mount.source).stat().st_mode
    except OSError:  # Docker makes a folder of what is not there
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)  # no socket, no device


def is_below(path: str, folder: str) -> bool:
    """Return whether a path is a folder or lies in it; both absolute, or both relative."""
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def sources(model: Model) -> dict[tuple[str, str], str]:
    """Return (service, target) -> what the model names as source, links and all."""
    return {
        (name, volume["target"]): str(volume.get("source", ""))
        for name, service in (model.get("services") or {}).items()
        for volume in service.get("volumes") or ()
        if volume["type"] in ("bind", "volume")
    }
