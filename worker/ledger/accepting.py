"""Stores a queued deployment and rings its bell: one round trip, and one fsync, for both.

With an fsync for each write that is what a delivery costs. Both are one transaction, so a
Redis that is full stores nothing; but a ring that fails alone is only logged, for a worker
finds the deployment within 5 seconds. A delivery seen before rings again, which is harmless.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from redis.client import Pipeline

from worker.errors import UnavailableError
from worker.ledger.connection import translated
from worker.ledger.scripts import ACCEPT

log = logging.getLogger(__name__)

Ring = Callable[[Pipeline], None]


def accept(redis: Any, keys: Sequence[str], argv: Sequence[Any], ring: Ring) -> tuple[str, bool]:
    """Return the id that it has and whether it is new. Raises UnavailableError."""
    with translated():
        pipe = redis.pipeline()
        pipe.multi()  # RQ begins a transaction itself otherwise, and it is too late by then
        # Not EVALSHA: redis-py asks, in a round trip, whether Redis knows a pipeline's scripts.
        pipe.eval(ACCEPT, len(keys), *keys, *argv)
        _try(ring, pipe)
        stored, *rung = pipe.execute(raise_on_error=False)
        if isinstance(stored, Exception):
            raise stored
    for error in rung:
        if isinstance(error, Exception):
            log.warning("bell.lost", extra={"detail": str(error)})
    return stored[0].decode(), bool(stored[1])


def _try(ring: Ring, pipe: Pipeline) -> None:
    try:
        ring(pipe)
    except UnavailableError as error:
        log.warning("bell.lost", extra={"detail": error.message})
