"""When the remote of an app is asked for its head: at a worker's start, then every N minutes.

Besides, once a head that was put off is due, and when Redis has forgotten what
it held: then deliveries may be lost, and GitHub sends none again. A remote that
is down is asked with growing pauses, never in each round of the scan.
"""

import math
from typing import Any

from worker.clock import Clock
from worker.decisions import UNTIL_ENDED, is_put_off, pause

BUSY = 4  # exit code of a look: somebody works on the app, so look again afterwards
NOT_REACHED = 1  # exit code of a look: the remote did not say
SOONEST = 60.0  # seconds between two looks, whatever they are for


class Rounds:
    """The rounds of one app, in the memory of one worker. `every` is in minutes; 0: none."""

    def __init__(self, every: int, clock: Clock) -> None:
        self._every = every * 60.0 or math.inf
        self._clock = clock
        self._next = self._soonest = clock.monotonic()
        self._failed = 0

    def look_now(self) -> None:
        """Have the remote asked at the next chance."""
        self._next = self._soonest = self._clock.monotonic()

    def due(self, decisions: dict[str, Any]) -> bool:
        """Return whether to look now. Nothing is looked for while a person holds the app."""
        now, hold = self._clock.monotonic(), decisions["hold"]
        if now < self._soonest or (hold and hold["kind"] in UNTIL_ENDED):
            return False
        entry = decisions["put_off"]
        again = bool(entry) and not is_put_off(decisions, entry["revision"], self._clock.now())
        return again or now >= self._next

    def looked(self, *, well: bool) -> None:
        """Note the end of a look; one that did not go well is made again sooner than usual."""
        now = self._clock.monotonic()
        self._failed = 0 if well else self._failed + 1
        sooner = math.inf if well else pause(self._failed).total_seconds()
        self._next, self._soonest = now + min(self._every, sooner), now + SOONEST
