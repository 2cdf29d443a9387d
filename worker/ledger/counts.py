"""What graphs count: sums in one hash of Redis, `sheetanchor:counts`.

A counter that falls is read as a restart, so these are no counts of what the ledger still
keeps. A deployment is counted in the same act of Redis that publishes its end, once for each
final status that it reaches (`inconsistent` can be gone on from): publishing it again counts
nothing. A Redis that lost everything counts anew while the journals are imported.

A field is its words, joined by `|`: no app, step or status has one in its name.
"""

import json
from collections.abc import Mapping
from typing import Any

from redis import Redis

from worker.deployment import Status
from worker.ledger.connection import translated

COUNTS = "sheetanchor:counts"
OUTCOME, STEP, OUTAGE, RECOVERY, ANSWER = "outcome", "step", "outage", "recovery", "answer"
SUM, OVER = "sum", "over"  # of a histogram: the seconds, and how many were over every limit
LIMITS = (1, 3, 10, 30, 60, 120, 300, 600, 1800)  # seconds

Fields = Mapping[str, float]


class Counts:
    """Reads and writes the sums. Every method raises UnavailableError without Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def add(self, fields: Fields) -> None:
        """Add to the sums, in one round trip."""
        with translated():
            pipe = self._redis.pipeline()
            for name, much in fields.items():
                pipe.hincrbyfloat(COUNTS, name, much)
            pipe.execute()

    def all(self) -> dict[tuple[str, ...], float]:
        """Return all sums by their words."""
        with translated():
            found = self._redis.hgetall(COUNTS)
        return {tuple(name.decode().split("|")): float(much) for name, much in found.items()}


def field(*words: str) -> str:
    """Return the name of a sum."""
    return "|".join(words)


def outcome(view: Mapping[str, Any]) -> str:
    """Return the sum to which an ended deployment adds one; empty for one that goes on."""
    if not Status(view["status"]).final:
        return ""
    return field(OUTCOME, view["app"], view["kind"], view["trigger"], view["status"])


def seconds(view: Mapping[str, Any]) -> str:
    """Return, as JSON, what an ended deployment's steps and outage add, when first it ends."""
    found: dict[str, float] = {}
    for step in view["steps"]:
        if step["seconds"] is not None:
            _observe(found, (STEP, view["app"], step["phase"], step["name"]), step["seconds"])
    if view["outage_seconds"] is not None:
        _observe(found, (OUTAGE, view["app"]), view["outage_seconds"])
    return json.dumps({name: str(much) for name, much in found.items()})


def _observe(found: dict[str, float], words: tuple[str, ...], took: float) -> None:
    limit = next((str(one) for one in LIMITS if took <= one), OVER)
    for name, much in ((field(*words, limit), 1.0), (field(*words, SUM), took)):
        found[name] = found.get(name, 0.0) + much
