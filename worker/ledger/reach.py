"""Who else can reach this Redis.

Who can write there can queue deployments and rewrite what people see, though not run a
command (`worker.queue`). So a Redis that the network or other users of this host get into
without a password is told of: it may be meant so, behind a firewall or in a container.
"""

import ipaddress
import logging
import stat
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from worker.ledger.connection import translated

log = logging.getLogger(__name__)

REMEDY = "Set a password (requirepass, or an ACL) and put it into server.redis_url; or bind it to"
REMEDY += " 127.0.0.1, and its socket to unixsocketperm 700."


def warn(redis: Redis) -> None:
    """Log how others get in: at the start of what uses this Redis. Raises UnavailableError."""
    for how in exposed(redis):
        log.warning("redis.exposed", extra={"detail": how, "remedy": REMEDY})


def exposed(redis: Redis) -> list[str]:
    """Say how others get in without a password; empty when none do, or it does not tell.

    Raises UnavailableError.
    """
    client: Any = redis
    with translated():
        try:
            settings = client.config_get("bind", "port", "tls-port", "protected-mode", "unixsocket")
            user = client.acl_getuser("default") or {}
        except ResponseError:  # a hosted Redis may forbid both
            return []
    if "nopass" not in user.get("flags", ()) or "on" not in user.get("flags", ()):
        return []
    return [*_network(settings), *_socket(settings.get("unixsocket", ""))]


def _network(settings: dict[str, str]) -> list[str]:
    listens = {settings.get("port", "0"), settings.get("tls-port", "0")} - {"0"}
    if not listens or settings.get("protected-mode") == "yes":
        return []
    bound = settings.get("bind", "").split() or ["*"]
    far = [one for one in bound if not _is_loopback(one.lstrip("-"))]
    if not far:
        return []
    return [f"It listens on {', '.join(far)} with protected-mode off and no password"]


def _socket(path: str) -> list[str]:
    try:
        mode = Path(path).stat().st_mode if path else 0
    except OSError:  # of another file system, as a container's
        return []
    return [f"Every user of this host may write to {path}"] if mode & stat.S_IWOTH else []


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
