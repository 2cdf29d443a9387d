"""Good deliveries while hundreds of clients send their bodies byte by byte, and others guess.

`SHEETANCHOR_EXHAUSTIVE=1`: a thousand of them, for half a minute, and each good delivery is
answered within a second. Usually a smaller flood, and a bound that a busy machine keeps too.
"""

import json
import os
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from tests.webhook.deliveries import headers_of, payload
from tests.webhook.test_gunicorn import ask, lines_of, request
from worker.ledger import Ledger

pytestmark = pytest.mark.usefixtures("redis")

EXHAUSTIVE = bool(os.environ.get("SHEETANCHOR_EXHAUSTIVE"))
SLOW, SECONDS, BOUND = (1000, 30, 1.0) if EXHAUSTIVE else (300, 6, 8.0)
GUESSING = 4  # clients, each as fast as it is answered
GROWTH = 48  # MiB of both processes: their buffers, once
BODY = json.dumps(payload()).encode()


def good():
    headers = headers_of(BODY, guid=str(uuid.uuid4()))
    return request(*lines_of(headers), f"Content-Length: {len(BODY)}")


def bad():
    headers = headers_of(BODY, secret=b"guess" * 8, guid=str(uuid.uuid4()))
    return request(*lines_of(headers), f"Content-Length: {len(BODY)}")


def memory(gunicorn):
    """Return the MiB that gunicorn's processes have in memory."""
    pages = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, parent = int(stat.parent.name), int(stat.read_text().rpartition(")")[2].split()[1])
            if gunicorn.process.pid in (pid, parent):
                pages += int((stat.parent / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Crowd:
    """Those who are slow and those who guess, until the block's end."""

    def __init__(self, gunicorn):
        self.gunicorn, self.over, self.answers = gunicorn, threading.Event(), []
        self.slow = []
        todo = [self.trickle, *[self.guess] * GUESSING]
        self.threads = [threading.Thread(target=one) for one in todo]

    def __enter__(self):
        self.slow = [self.begin() for _ in range(SLOW)]
        for one in self.threads:
            one.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for one in self.threads:
            one.join()
        for one in self.slow:
            one.close()

    def begin(self):
        client = self.gunicorn.connect()
        client.sendall(good() + BODY[:1])
        return client

    def trickle(self):
        """Send a byte for each slow client once a second; who was cut off comes back."""
        while not self.over.wait(1):
            for place, client in enumerate(self.slow):
                try:
                    client.sendall(b" ")
                except OSError:
                    client.close()
                    self.slow[place] = self.begin()

    def guess(self):
        while not self.over.is_set():
            self.answers.append(ask(self.gunicorn, bad(), BODY)[0])


def test_good_deliveries_arrive_among_slow_bodies_and_guesses(gunicorn, redis):
    taken, before = [], 0.0
    with Crowd(gunicorn) as crowd:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            begin = time.monotonic()
            assert ask(gunicorn, good(), BODY)[0] == 202
            taken.append(time.monotonic() - begin)
            before = before or memory(gunicorn)
            time.sleep(SECONDS / 20)
        grown = memory(gunicorn) - before

    print(
        f"worst {max(taken):.3f} s of {len(taken)}, {len(crowd.answers)} guesses, {grown:.0f} MiB"
    )
    assert max(taken) < BOUND
    assert grown < GROWTH
    assert set(crowd.answers) <= {401, 429}
    assert len(crowd.answers) > GUESSING
    assert len(Ledger(redis).queued("thynk")) == len(taken)
