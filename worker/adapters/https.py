"""One HTTP request to a service elsewhere, with limits on all that it may cost.

A redirect is an answer: to follow one would take a token to wherever it leads. The whole
call has a limit, not each read of it: who sends a byte now and then holds nobody up.
"""

import http.client
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from worker.errors import UnavailableError

LONGEST = 1 << 20  # bytes of an answer; what is longer is cut off


@dataclass(frozen=True)
class Answer:
    """What came back; the headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def call(
    method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, within: float
) -> Answer:
    """Ask once and return the answer, whatever it is. Raises UnavailableError without one.

    `within` is in seconds. Neither headers nor body are in the error.
    """
    parts = urlsplit(url)
    connection = _connection(parts.scheme, parts.hostname or "", parts.port, within)
    late = threading.Event()
    limit = threading.Timer(within, _cut, (connection, late))
    limit.daemon = True
    limit.start()
    try:
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        connection.request(method, target, body, dict(headers))
        found = connection.getresponse()
        content = found.read(LONGEST)
        if late.is_set():
            raise TimeoutError
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = f"in {within:g} s" if late.is_set() or isinstance(error, TimeoutError) else error
        raise UnavailableError(
            f"{parts.hostname} did not answer: {why}.",
            remedy="See whether this host reaches it; it is tried again.",
        ) from error
    finally:
        limit.cancel()
        connection.close()
    names = {name.lower(): value for name, value in found.getheaders()}
    return Answer(found.status, names, content)


def _connection(
    scheme: str, host: str, port: int | None, within: float
) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=within)
    return http.client.HTTPConnection(host, port, timeout=within)


def _cut(connection: http.client.HTTPConnection, late: threading.Event) -> None:
    """End what takes too long: whoever reads is told that there is no more."""
    late.set()
    if connection.sock is not None:
        with suppress(OSError):  # of the socket below TLS, which another thread reads
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
