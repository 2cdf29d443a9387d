"""A clock that tests set."""

from datetime import UTC, datetime, timedelta

from worker.clock import SystemClock


class FakeClock:
    """Wall and monotonic time move together, when a test says so."""

    def __init__(self):
        self.passed = timedelta(0)

    def now(self):
        return datetime(2026, 11, 22, tzinfo=UTC) + self.passed

    def monotonic(self):
        return self.passed.total_seconds()

    def sleep(self, seconds):
        self.passed += timedelta(seconds=seconds)


class LateClock(SystemClock):
    """The real one, by which so much time has passed in a moment."""

    def __init__(self, passed):
        self._passed = passed

    def now(self):
        return super().now() + self._passed
