"""How long GitHub waits for a 202: real gunicorn, real Redis with an fsync for each delivery.

Run: `.venv/bin/python -m tests.bench.hook [deliveries] [a second]`. Prints one JSON
object on stdout: milliseconds from the moment a delivery was due (so that a
stall is not hidden by sending less) to its answer.
"""

import http.client
import json
import shutil
import socket
import statistics
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import running_redis, until
from tests.webhook.conftest import Gunicorn, configured
from tests.webhook.deliveries import headers_of, payload
from worker.ledger import Ledger

DELIVERIES, A_SECOND, CLIENTS = 2000, 200, 32


class UnixConnection(http.client.HTTPConnection):
    """HTTP over gunicorn's Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def deliver(web: Gunicorn, due: float) -> tuple[int, float]:
    """Send one delivery when it is due, as GitHub does: on a connection of its own."""
    body = json.dumps(payload()).encode()
    headers = headers_of(body, guid=str(uuid.uuid4()))
    time.sleep(max(0.0, due - time.monotonic()))
    connection = UnixConnection(web.socket)
    connection.request("POST", "/hooks/github/thynk", body, headers)
    status = connection.getresponse().status
    connection.close()
    return status, (time.monotonic() - due) * 1000


def measure(web: Gunicorn, deliveries: int, a_second: int) -> tuple[list[int], list[float], float]:
    """Return statuses, milliseconds, and the seconds that all took."""
    begin = time.monotonic() + 0.5
    dues = [begin + number / a_second for number in range(deliveries)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda due: deliver(web, due), dues))
    statuses, milliseconds = zip(*answers, strict=True)
    return list(statuses), list(milliseconds), time.monotonic() - begin


def main() -> None:
    """Measure, and check that every accepted delivery is stored."""
    given = [int(argument) for argument in sys.argv[1:]]
    deliveries, a_second = [*given, *[DELIVERIES, A_SECOND][len(given) :]][:2]
    home = Path(tempfile.mkdtemp(prefix="sa-bench-"))
    with running_redis() as redis:
        web = Gunicorn(home, configured(home), redis.url)
        try:
            until(web.answers, "gunicorn answers")
            statuses, taken, seconds = measure(web, deliveries, a_second)
        finally:
            web.stop()
            shutil.rmtree(home)
        stored = len(Ledger(redis.client).queued("thynk"))
    result = {
        "deliveries": deliveries,
        "accepted": statuses.count(202),
        "stored": stored,
        "a_second": round(deliveries / seconds, 1),
        "median_ms": round(statistics.median(taken), 2),
        "p99_ms": round(statistics.quantiles(taken, n=100)[98], 2),
        "worst_ms": round(max(taken), 2),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
