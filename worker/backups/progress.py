"""Says how far a long job is, now and then."""

from collections.abc import Callable

from worker.clock import Clock

EVERY = 2.0  # seconds


class Progress:
    """Reports at most every two seconds; what `report` raises ends the job."""

    def __init__(self, report: Callable[[str], None], clock: Clock) -> None:
        self._report = report
        self._clock = clock
        self._last = clock.monotonic()

    def tick(self, text: Callable[[], str]) -> None:
        """Report, if it is time to."""
        now = self._clock.monotonic()
        if now - self._last >= EVERY:
            self._last = now
            self._report(text())
