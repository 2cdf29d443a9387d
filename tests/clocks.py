"""A clock that tests set."""

from datetime import UTC, datetime, timedelta


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
