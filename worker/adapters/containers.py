"""What a deployment needs to know of a container: plain data, as Docker told it."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

ASIDE = "-left-by-"  # between the own name of a container that was set aside, and for what
COMPOSE = "com.docker.compose"
PROJECT = f"{COMPOSE}.project"
NAMELESS = re.compile(r"[0-9a-f]{64}")  # the name that Docker gives an anonymous volume
RUNNING = ("running", "restarting", "paused")  # between two restarts, too

Policy = dict[str, Any]


class Started(NamedTuple):
    """What a container tells of the `docker compose up` that made it."""

    project: str
    files: tuple[str, ...]  # Compose files, absolute
    running: bool


class Mounted(NamedTuple):
    """A mount of a container, as Docker tells it; a volume has a name, its own or Docker's."""

    type: str  # bind, volume, tmpfs, npipe, cluster
    source: str  # a path of the host
    destination: str
    writable: bool = True
    name: str = ""


class Volume(NamedTuple):
    """How a volume was made, or would be."""

    driver: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Container:
    """What a deployment needs to know of a container, as it was when asked."""

    id: str
    name: str
    project: str
    service: str
    number: int
    oneoff: bool
    image: str  # the image's id, not its name
    image_name: str
    config_hash: str
    working_dir: str
    depends_on: tuple[str, ...]
    status: str  # created, running, exited, restarting, paused, dead, removing
    exit_code: int
    health: str | None
    restarts: int
    started_at: str
    policy: Policy
    stop_timeout: int
    mounts: tuple[Mounted, ...]
    health_budget: float  # seconds that the health check asks for
    files: tuple[str, ...] = ()  # Compose files that it was made with, absolute
    env_files: tuple[str, ...] = ()  # what `--env-file` named, as it was named
    published: tuple[int, ...] = ()  # ports of the host that lead to it
    ips: tuple[str, ...] = ()  # its own addresses

    @property
    def running(self) -> bool:
        """Whether the container's program runs, between two restarts too."""
        return self.status in RUNNING

    @property
    def own_name(self) -> str:
        """The name that it was made with."""
        return self.name.partition(ASIDE)[0]

    @property
    def aside(self) -> bool:
        """Whether it was set aside, until the deployment that left it is committed."""
        return ASIDE in self.name and not self.running

    @property
    def nameless(self) -> list[Mounted]:
        """The anonymous volumes, which nobody finds again once the container is gone."""
        return [one for one in self.mounts if NAMELESS.fullmatch(one.name)]

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Self:
        """Return the container that `as_dict` wrote, also a newer sheetanchor's."""
        fields = {one.name: found[one.name] for one in dataclasses.fields(cls) if one.name in found}
        names = ("depends_on", "files", "env_files", "published", "ips")
        tuples = {name: tuple(fields.get(name, ())) for name in names}
        mounts = tuple(Mounted(*one) for one in fields["mounts"])
        return cls(**{**fields, **tuples, "mounts": mounts})


class StandIn(NamedTuple):
    """What a container is made with that Compose replaces, carrying its volumes over."""

    binds: list[str]
    labels: dict[str, str]


def stand_in(gone: Container) -> StandIn:
    """Return what makes Compose take it for the gone one, made from other settings."""
    labels = {
        "project": gone.project,
        "service": gone.service,
        "container-number": str(gone.number),
        "oneoff": "False",
        "config-hash": "none",
        "project.working_dir": gone.working_dir,
    }
    return StandIn(
        [f"{one.name}:{one.destination}" for one in gone.nameless],
        {f"{COMPOSE}.{name}": value for name, value in labels.items()},
    )


def stop_order(containers: Sequence[Container]) -> list[list[Container]]:
    """Return waves of containers to stop: who needs another goes before it."""
    waves, left = [], list(containers)
    while left:
        needed = {name for one in left for name in one.depends_on if name != one.service}
        wave = [one for one in left if one.service not in needed] or left  # a circle: all
        waves.append(wave)
        left = [one for one in left if one not in wave]
    return waves


def patience(containers: Iterable[Container]) -> float:
    """Return the seconds that the most patient of their health checks asks for."""
    return max((one.health_budget for one in containers), default=0.0)


def inspected(raw: dict[str, Any]) -> Container:
    """Return the container that Docker describes."""
    labels, state, host = raw["Config"]["Labels"] or {}, raw["State"], raw["HostConfig"]
    depends = labels.get("com.docker.compose.depends_on") or ""
    return Container(
        id=raw["Id"],
        name=raw["Name"].lstrip("/"),
        project=labels.get(PROJECT, ""),
        service=labels.get("com.docker.compose.service", ""),
        number=int(labels.get("com.docker.compose.container-number") or 0),
        oneoff=labels.get("com.docker.compose.oneoff") == "True",
        image=raw["Image"],
        image_name=raw["Config"]["Image"],
        config_hash=labels.get("com.docker.compose.config-hash", ""),
        working_dir=labels.get("com.docker.compose.project.working_dir", ""),
        depends_on=tuple(part.partition(":")[0] for part in depends.split(",") if part),
        status=state["Status"],
        exit_code=state["ExitCode"],
        health=(state.get("Health") or {}).get("Status"),
        restarts=raw["RestartCount"],
        started_at=state["StartedAt"],
        policy={**(host["RestartPolicy"] or {})},
        stop_timeout=_or(raw["Config"].get("StopTimeout"), 10),
        mounts=tuple(map(_mounted, raw["Mounts"])),
        health_budget=_health_budget(raw["Config"].get("Healthcheck") or {}),
        files=listed(labels, "project.config_files"),
        env_files=listed(labels, "project.environment_file"),
        published=_published(raw["NetworkSettings"]["Ports"] or {}),
        ips=_ips(raw["NetworkSettings"]["Networks"] or {}),
    )


def _published(ports: Mapping[str, Any]) -> tuple[int, ...]:
    found = {int(one["HostPort"]) for bound in ports.values() for one in bound or ()}
    return tuple(sorted(found))


def _ips(networks: Mapping[str, Any]) -> tuple[str, ...]:
    keys = ("IPAddress", "GlobalIPv6Address")
    return tuple(sorted({one[key] for one in networks.values() for key in keys if one.get(key)}))


def listed(labels: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return the parts of one of Compose's labels that holds a list."""
    return tuple(filter(None, labels.get(f"com.docker.compose.{name}", "").split(",")))


def _mounted(raw: dict[str, Any]) -> Mounted:
    source, name = raw.get("Source", ""), raw.get("Name", "")
    return Mounted(raw["Type"], source, raw["Destination"], raw.get("RW", True), name)


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _health_budget(check: dict[str, Any]) -> float:
    """Return the seconds until the check itself would say unhealthy."""
    if not check or check.get("Test", ["NONE"])[0] == "NONE":
        return 0.0
    default = 30_000_000_000  # nanoseconds, Docker's own
    every = (check.get("Interval") or default) + (check.get("Timeout") or default)
    tries = (check.get("Retries") or 3) + 1
    return float(((check.get("StartPeriod") or 0) + every * tries) / 1e9)
