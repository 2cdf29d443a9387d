"""What a Compose model may do to the host beyond running containers. Pure.

Whoever can push runs code on this host; what can be done is to notice when a
revision asks for more power over it than what runs has, and to have a person
look first. Every key of Compose's schema is in `keys.GUARDED`, `keys.REFUSED`
or `keys.HARMLESS`; a test walks the schema of the installed Compose.

The danger is in disguise: a bind mount as a volume's driver options, a symbolic
link in the checkout that leads out of it, a dropped `cap_drop`. So what is
compared is what each model holds, in sentences that name service and value.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.steps.privileges import build, keys, top

Model = Mapping[str, Any]


@dataclass(frozen=True)
class Places:
    """The checkout, and what in it is nobody's but ours: Git's folder, the backups.

    `real` follows symbolic links, as Docker will when it mounts a path.
    """

    checkout: str
    kept: tuple[str, ...] = ()
    real: Callable[[str], str] = str

    def outside(self, path: str) -> str | None:
        """Return where a path leads when that is not in the checkout, else None."""
        real = self.real(path)
        return None if _below(real, self.checkout) else real

    def reaches(self, path: str) -> str | None:
        """Return where a path leads that it should not, or None when it may be used."""
        real = self.real(path)
        if self.outside(path):
            return real
        if any(_below(real, one) or _below(one, real) for one in self.kept):
            return real
        return None


def new(old: Model | None, model: Model, old_places: Places, places: Places) -> list[str]:
    """Return what the model may do that the old one may not; all of it without an old one."""
    had = set(held(old, old_places)) if old else set()
    asked = {*held(model, places), *given_up(old or {}, model)}
    return sorted(asked - had)


def held(model: Model, places: Places) -> Iterator[str]:
    """Yield each privilege that a model holds, as a sentence."""
    reaches = places.reaches
    for name, service in (model.get("services") or {}).items():
        for path, rule in keys.GUARDED.items():
            value: Any = service
            for key in path.split("."):
                value = value.get(key) if isinstance(value, Mapping) else None
            if value:
                yield from (f"service {name} {phrase}" for phrase in rule(value, reaches))
        for phrase in build.privileges(service.get("build") or {}, places.outside):
            yield f"service {name} {phrase}"
    yield from top.privileges(model, reaches)


def given_up(old: Model, model: Model) -> Iterator[str]:
    """Yield each protection that a service had and would have no longer."""
    services = model.get("services") or {}
    for name, before in (old.get("services") or {}).items():
        if name in services:
            for phrase in keys.given_up(before, services[name]):
                yield f"service {name} {phrase}"
    for name, network in (old.get("networks") or {}).items():
        now = (model.get("networks") or {}).get(name)
        if (network or {}).get("internal") and now is not None and not now.get("internal"):
            yield f"network {name} reaches the outside: it is `internal` no longer"


def _below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")
