"""Every key of a service in Compose's schema: guarded by a rule, refused, or harmless.

A rule gets the key's value, as `docker compose config` renders it, and returns
what the service may do by it. Harmless is what only shapes the container, or
what `up` without a terminal never looks at (`develop`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Reaches = Callable[[str], str | None]
Rule = Callable[[Any, Reaches], Sequence[str]]

LOOPBACK = ("127.", "::1", "[::1]")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - the address that Docker takes when none is given
LOCAL_LOGS = ("json-file", "local", "journald", "none", "")


def _flag(phrase: str) -> Rule:
    return lambda value, _: [phrase] if str(value).lower() == "true" else []


def _each(phrase: str) -> Rule:
    return lambda values, _: [f"{phrase} {shown(one)}" for one in listed(values)]


def _one(phrase: str) -> Rule:
    return lambda value, _: [f"{phrase} {shown(value)}"]


def _shared(phrase: str) -> Rule:
    """Of a namespace: the host's or another container's; a service's own is none."""
    own = ("private", "shareable", "none", "bridge", "default")
    return lambda value, _: (
        [] if value in own or value.startswith("service:") else [f"{phrase} {value}"]
    )


def listed(values: Any) -> list[Any]:
    """Return a list, or the items of a mapping as `key=value`."""
    if isinstance(values, Mapping):
        return [f"{key}={value}" for key, value in values.items()]
    return list(values) if isinstance(values, list) else [values]


def shown(value: Any) -> str:
    """Return a value in one line."""
    if isinstance(value, Mapping):
        inner = (f"{key}: {shown(one)}" for key, one in sorted(value.items()))
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    return str(value)


def _volumes(volumes: Any, reaches: Reaches) -> list[str]:
    """A bind out of the checkout, or of what in it is ours; the kernel's pipes too."""
    found = []
    for one in volumes:
        source = str(one.get("source", ""))
        if one["type"] == "bind" and (real := reaches(source)):
            way = " for reading" if one.get("read_only") else ""
            leads = "" if real == source else f" (which is {real})"
            found.append(f"mounts {source}{leads} at {one['target']}{way}")
        if one["type"] in ("npipe", "cluster", "image") and source:
            found.append(f"mounts the {one['type']} {source} at {one['target']}")
    return found


def _ports(ports: Any, _: Reaches) -> list[str]:
    """A port that other machines reach: Docker publishes past the host's firewall."""
    return [
        f"publishes its port {one['target']}/{one.get('protocol', 'tcp')} at"
        f" {one.get('host_ip') or EVERYWHERE}:{one.get('published') or 'any port'}"
        for one in ports
        if not str(one.get("host_ip") or "").startswith(LOOPBACK)
    ]


def _user(user: Any, _: Reaches) -> list[str]:
    return [f"runs as {user}"] if _is_root(user) else []


def _is_root(user: Any) -> bool:
    return str(user).partition(":")[0] in ("root", "0")


def _security(options: Any, _: Reaches) -> list[str]:
    return [f"sets security_opt {one}" for one in options if not _confines(one)]


def _confines(option: str) -> bool:
    return option.replace("=", ":") in ("no-new-privileges", "no-new-privileges:true")


def _hooks(kind: str) -> Rule:
    return lambda hooks, _: [
        f"runs `{shown(hook.get('command'))}` {kind}"
        f" {'with all privileges' if hook.get('privileged') else 'as root'}"
        for hook in hooks
        if hook.get("privileged") or _is_root(hook.get("user", ""))
    ]


def _logging(logging: Any, _: Reaches) -> list[str]:
    driver = str(logging.get("driver") or "")
    return [] if driver in LOCAL_LOGS else [f"has Docker send its logs by {shown(logging)}"]


def _files(phrase: str) -> Rule:
    def rule(values: Any, reaches: Reaches) -> list[str]:
        paths = [one["path"] if isinstance(one, Mapping) else one for one in listed(values)]
        return [f"{phrase} {path}" for path in paths if reaches(path)]

    return rule


def _negative(value: Any, _: Reaches) -> list[str]:
    return [f"is spared when memory runs out (oom_score_adj {value})"] if int(value) < 0 else []


GUARDED: Mapping[str, Rule] = {
    "annotations": _each("gives its runtime the annotation"),
    "cap_add": _each("gets the capability"),
    "cgroup": _shared("uses the cgroups of"),
    "cgroup_parent": _one("puts itself under the cgroup"),
    "credential_spec": _one("uses the credentials"),
    "deploy.resources.reservations.devices": _each("uses the devices"),
    "device_cgroup_rules": _each("may use devices by the rule"),
    "devices": _each("uses the device"),
    "env_file": _files("reads the env file"),
    "external_links": _each("reaches another project's container"),
    "gpus": _each("uses the graphics card"),
    "group_add": _each("joins the group"),
    "ipc": _shared("shares the memory of"),
    "label_file": _files("reads the labels of"),
    "logging": _logging,
    "models": _each("uses the model"),
    "network_mode": _shared("uses the network of"),
    "oom_kill_disable": _flag("is never killed when memory runs out"),
    "oom_score_adj": _negative,
    "pid": _shared("sees the processes of"),
    "ports": _ports,
    "post_start": _hooks("after its start"),
    "pre_stop": _hooks("before its stop"),
    "privileged": _flag("is privileged: it has all power over the host"),
    "runtime": _one("is run by the runtime"),
    "security_opt": _security,
    "sysctls": _each("sets the kernel's"),
    "use_api_socket": _flag("gets Docker's socket: it has all power over the host"),
    "user": _user,
    "userns_mode": _shared("uses the user ids of"),
    "uts": _shared("uses the host name of"),
    "volumes": _volumes,
    "volumes_from": lambda values, _: [
        f"mounts all volumes of {one}" for one in values if one.startswith("container:")
    ],
}

LOST = ("cap_drop", "read_only")  # what a service gives up; `security_opt` and `user`, too

# Refused whoever approves: a program of the host, chosen by the repository.
REFUSED = frozenset(["provider"])

# fmt: off
HARMLESS = frozenset(
    [
        "attach", "blkio_config", "command", "configs", "container_name", "cpu_count",
        "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime",
        "cpu_shares", "cpus", "cpuset", "depends_on", "deploy.endpoint_mode",
        "deploy.labels", "deploy.mode", "deploy.placement", "deploy.replicas",
        "deploy.resources.limits", "deploy.resources.reservations.cpus",
        "deploy.resources.reservations.generic_resources",
        "deploy.resources.reservations.memory", "deploy.restart_policy",
        "deploy.rollback_config", "deploy.update_config", "develop", "dns", "dns_opt",
        "dns_search", "domainname", "entrypoint", "environment", "expose", "extends",
        "extra_hosts", "healthcheck", "hostname", "image", "init", "isolation", "labels",
        "links", "mac_address", "mem_limit", "mem_reservation", "mem_swappiness",
        "memswap_limit", "networks", "pids_limit", "platform", "profiles", "pull_policy",
        "pull_refresh_after", "restart", "scale", "secrets", "shm_size", "stdin_open",
        "stop_grace_period", "stop_signal", "storage_opt", "tmpfs", "tty", "ulimits",
        "working_dir",
    ]
)
# fmt: on


def given_up(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield each protection of a service that it has no longer."""
    kept = now.get("cap_drop") or ()
    if "ALL" not in kept:
        for one in before.get("cap_drop") or ():
            if one not in kept:
                yield f"no longer drops the capability {one}"
    if before.get("read_only") and not now.get("read_only"):
        yield "may write into its own file system: it is `read_only` no longer"
    if any(map(_confines, before.get("security_opt") or ())) and not any(
        map(_confines, now.get("security_opt") or ())
    ):
        yield "may gain privileges: it has `no-new-privileges` no longer"
    user = before.get("user")
    if user and not _is_root(user) and not now.get("user"):
        yield f"no longer runs as {user}"
