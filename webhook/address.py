"""Where a request comes from. Pure.

Danger: `X-Forwarded-For` is written by whoever likes to. It counts only as far as proxies of
`server.trusted_proxies` wrote it: read from its end, up to the first that is none of them.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Networks = Sequence[IPv4Network | IPv6Network]
SITE = 64  # bits: who has one IPv6 address has all that begin so


def come_from(peer: str, forwarded: str, trusted: Networks) -> str:
    """Return the address; empty for who comes through a Unix socket."""
    hops = [hop.strip() for hop in forwarded.split(",")]
    while hops and _within(peer, trusted) and _is_address(hops[-1]):
        peer = hops.pop()
    return peer


def neighbourhood(address: str) -> str:
    """Return what counts as one when failures are counted: an IPv6 address' first 64 bits."""
    if ":" not in address or not _is_address(address):
        return address
    return str(ip_network((address.partition("%")[0], SITE), strict=False))


def _within(address: str, networks: Networks) -> bool:
    return _is_address(address) and any(ip_address(address) in one for one in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
