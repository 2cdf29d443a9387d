"""A MongoDB URI as the containers read it, turned into one that works on the host.

An app in a container reaches the host's MongoDB as `host.docker.internal`, a name
that the host itself does not know. The danger is in what else the URI holds: a
password with `%40` in it must reach the driver as it was written, so only host
names are replaced and nothing is decoded and encoded again.
"""

import re
import socket
from typing import Any

from worker.errors import GuardError

THIS_HOST = "host.docker.internal"
LOOPBACK = "127.0.0.1"
BRIDGE = "172.17.0.1"  # Docker's default gateway, where a mongod may listen for containers only
REACHED_WITHIN = 1.0  # seconds
DEFAULT_PORT = 27017

_URI = re.compile(
    r"^mongodb://(?P<user>[^/?]*@)?(?P<hosts>[^/?@]+)(?P<path>/[^?]*)?(?:\?(?P<options>.*))?$"
)
_TOPOLOGY = ("replicaset", "directconnection")


def host_uri(uri: str) -> str:
    """Return the URI with `host.docker.internal` replaced by an address of this host.

    127.0.0.1 is taken unless only the bridge's gateway accepts on the port. When it
    is the only host, the connection is direct: a replica set's one member may be
    advertised under an address that only containers reach.
    """
    parts = _URI.match(uri)
    if parts is None or THIS_HOST not in parts["hosts"].lower():
        return uri
    hosts = parts["hosts"].split(",")
    options = parts["options"] or ""
    if len(hosts) == 1:
        options = _direct(options)
    replaced = ",".join(_reachable(host) for host in hosts)
    query = f"?{options}" if options else ""
    return f"mongodb://{parts['user'] or ''}{replaced}{parts['path'] or '/'}{query}"


def database_of(uri: str) -> str | None:
    """Return the database that the URI's path names. Raises GuardError for no URI."""
    return _parsed(uri)["database"] or None


def user_of(uri: str) -> tuple[str, str] | None:
    """Return the user's name and the database it is defined in, or None without one."""
    parsed = _parsed(uri)
    if not parsed["username"]:
        return None
    source = parsed["options"].get("authSource") or parsed["database"] or "admin"
    return parsed["username"], source


def secrets_of(uri: str) -> tuple[str, ...]:
    """Return the password as written and as decoded: what no message may show."""
    parts = _URI.match(uri)
    written = (parts["user"] or "").rstrip("@").partition(":")[2] if parts else ""
    return tuple({secret for secret in (written, _parsed(uri)["password"] or "") if secret})


def _parsed(uri: str) -> dict[str, Any]:
    from pymongo.uri_parser import parse_uri  # noqa: PLC0415 - it brings the whole driver

    try:
        return parse_uri(uri, validate=True, warn=False)
    except Exception:  # noqa: BLE001 - the parser raises many kinds, DNS's among them
        # `from None`: the parser's message quotes the URI, and with it the password.
        raise GuardError(
            "data.mongodb does not name a MongoDB URI that can be read.",
            remedy="Write it as mongodb://user:password@host:27017/database, with special "
            "characters of the password percent-encoded.",
        ) from None


def _direct(options: str) -> str:
    kept = [
        option
        for option in re.split("[&;]", options)
        if option and option.partition("=")[0].lower() not in _TOPOLOGY
    ]
    return "&".join([*kept, "directConnection=true"])


def _reachable(host: str) -> str:
    name, _, port = host.partition(":")
    if name.lower() != THIS_HOST:
        return host
    number = int(port) if port.isdigit() else DEFAULT_PORT
    found = next((at for at in (LOOPBACK, BRIDGE) if _accepts(at, number)), LOOPBACK)
    return f"{found}:{number}"


def _accepts(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=REACHED_WITHIN).close()
    except (OSError, OverflowError):
        return False
    return True
