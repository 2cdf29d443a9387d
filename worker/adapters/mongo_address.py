"""Which server and database a MongoDB URI leads to, whatever its spelling.

The danger is in two spellings of one place: the same server is `localhost` here,
`host.docker.internal` in a container and an address of the bridge elsewhere. An
address is shown to people and journalled, so neither user nor password is in it.
"""

import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Self
from urllib.parse import unquote

from worker.adapters.mongo_uri import DEFAULT_PORT

HERE = "this host"
_HERE = frozenset(["localhost", "host.docker.internal", "gateway.docker.internal", "::1", ""])
_URI = re.compile(
    r"^mongodb(?P<srv>\+srv)?://(?:[^/?@]*@)?(?P<hosts>[^/?@]+)(?:/(?P<path>[^?]*))?(?:\?.*)?$",
    re.S,
)


@dataclass(frozen=True)
class Address:
    """Servers as `host:port`, and databases; no database where the URI names none."""

    servers: frozenset[str]
    databases: frozenset[str]

    @classmethod
    def of(cls, uri: str, databases: Collection[str] = ()) -> Self | None:
        """Return where a URI leads, or None for what is none. `databases` replace its path."""
        parts = _URI.match(uri.strip())
        if parts is None:
            return None
        named = databases or filter(None, [unquote(parts["path"] or "")])
        kind = "srv:" if parts["srv"] else ""
        servers = (kind + one if kind else _server(one) for one in parts["hosts"].split(","))
        return cls(frozenset(servers), frozenset(named))

    def same(self, other: "Address") -> bool:
        """Whether both lead to one server and, as far as both name it, one database."""
        unnamed = not (self.databases and other.databases)
        shared = unnamed or bool(self.databases & other.databases)
        return shared and bool(self.servers & other.servers)

    def __str__(self) -> str:
        return f"{','.join(sorted(self.servers))}/{','.join(sorted(self.databases))}"


def spelled(uri: str, databases: Collection[str] = ()) -> str | None:
    """Return where a URI leads in its own words, without user and password.

    Unlike an `Address`, of which an interface that is down changes the sense.
    """
    parts = _URI.match(uri.strip())
    named = ",".join(sorted(databases)) or (parts["path"] if parts else "")
    return f"{parts['hosts']}/{named}" if parts else None


def _server(host: str) -> str:
    literal = re.fullmatch(r"\[([^\]]*)\](?::(\d+))?", host)
    name, port = literal.groups() if literal else host.partition(":")[::2]
    return f"{_name(name.lower())}:{port or DEFAULT_PORT}"


@lru_cache(maxsize=256)
def _name(name: str) -> str:
    """Return `this host` for every name and address of this machine, else the name itself."""
    if name in _HERE or name.startswith("127."):
        return HERE
    if name in (socket.gethostname().lower(), socket.getfqdn().lower()) or _is_ours(name):
        return HERE
    return name


def _is_ours(address: str) -> bool:
    """Whether an IP address belongs to this machine: only then can it be bound."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, address)
            with socket.socket(family) as one:
                one.bind((address, 0))
        except OSError:
            continue
        return True
    return False
