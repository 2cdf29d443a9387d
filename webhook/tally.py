"""Counts how the hook answers, by status.

Danger: a flood of bad signatures must cost Redis nothing, and a good delivery no round trip
more. So each process counts for itself and adds its counts now and then; who is killed
meanwhile loses a few seconds of them.
"""

import logging
from collections import Counter

import gevent  # it ships no types
from flask import Response, request

from worker.errors import UnavailableError
from worker.ledger.counts import ANSWER, Counts, field

log = logging.getLogger(__name__)

EVERY = 2.0  # seconds
HOOK = "hooks.github"


class Tally:
    """The answers of this process that are not in the ledger yet."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._new: Counter[str] = Counter()
        self._flusher: gevent.Greenlet | None = None

    def note(self, response: Response) -> Response:
        """Count the answer, if it is the hook's; what Flask calls after each request."""
        if request.endpoint == HOOK:
            self._new[field(ANSWER, str(response.status_code))] += 1
            if self._flusher is None or self._flusher.dead:
                self._flusher = gevent.spawn_later(EVERY, self.flush)
        return response

    def flush(self) -> None:
        """Add what was counted to the ledger; without Redis, the next time."""
        new, self._new = self._new, Counter()
        try:
            if new:
                self._counts.add(new)
        except UnavailableError as error:
            self._new += new
            log.warning("answers.uncounted", extra={"error": str(error)})
