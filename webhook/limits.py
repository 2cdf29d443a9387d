"""How often something may happen: failures of an address, work for an app.

Counted in each of the two web processes, in memory: a flood of bad signatures must not cost
Redis a write each. So up to twice as much is let pass; that is no secret to guess by, for
tokens and secrets have 128 bits and more.

A valid token or signature is never refused for the failures of others at its address: GitHub's
servers send for everybody, and it never sends a delivery again by itself.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from worker.clock import Clock, SystemClock


@dataclass
class Window:
    """Counts, for each key, what happens within some seconds; remembers so many keys."""

    most: int
    seconds: float
    keys: int = 10_000
    clock: Clock = field(default_factory=SystemClock)
    _seen: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict)

    def left(self, key: str) -> float:
        """Return the seconds until it may happen again; 0 when it may now."""
        begun, count = self._seen.get(key, (0.0, 0))
        left = begun + self.seconds - self.clock.monotonic()
        return left if count >= self.most and left > 0 else 0.0

    def count(self, key: str) -> None:
        """Note that it happened."""
        now = self.clock.monotonic()
        begun, count = self._seen.pop(key, (now, 0))
        if now - begun >= self.seconds:
            begun, count = now, 0
        self._seen[key] = begun, count + 1
        if len(self._seen) > self.keys:
            self._seen.popitem(last=False)


@dataclass
class Limits:
    """The limits of one web process."""

    failures: Window = field(default_factory=lambda: Window(10, 60.0))
    work: Window = field(default_factory=lambda: Window(60, 60.0))
