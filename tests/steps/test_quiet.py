"""How long a recovery waits for what Docker still does for a process that died."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from tests.clocks import FakeClock
from worker.steps import halt, quiet

GRACE = 10  # seconds, Docker's default


@dataclass
class Attempt:
    """Of a recovery, whose one container Docker starts `late` seconds after it was stopped."""

    late: float | None = None
    clock: FakeClock = field(default_factory=FakeClock)
    status: str = "running"
    inherited: bool = True
    going_back: bool = True
    settled: bool = False
    mongo: None = None
    facts: dict = field(default_factory=dict)

    @property
    def engine(self):
        return SimpleNamespace(stop=self._stop)

    @property
    def everything(self):
        if self.late is not None and self.clock.monotonic() >= self.late:
            self.status, self.late = "running", None
        one = {"id": "c1", "name": "web", "policy": {"Name": "no"}, "service": "web", "files": ()}
        running = self.status == "running"
        return [
            SimpleNamespace(
                **one, status=self.status, running=running, started_at="", stop_timeout=GRACE
            )
        ]

    def _stop(self, containers):
        assert [one.id for one in containers] == ["c1"]
        self.status = "exited"

    def say(self, line):
        pass

    def note(self, facts):
        assert facts["halted_at"]

    def old_release(self):
        return None


def test_halt_of_a_recovery_does_not_wait_for_the_grace_of_what_it_has_stopped_itself():
    attempt = Attempt()

    halt.run(attempt)

    assert attempt.status == "exited"
    assert 1 < attempt.clock.monotonic() < 2


def test_halt_of_a_recovery_stops_again_what_docker_started_for_who_died():
    attempt = Attempt(late=0.6)

    halt.run(attempt)

    assert (attempt.status, attempt.late) == ("exited", None)


@pytest.mark.parametrize("late", [None, 5.0])
def test_who_stops_nothing_waits_for_the_grace_of_a_stop_under_way(late):
    attempt = Attempt(late=late, status="exited")

    quiet.settle(attempt)

    assert attempt.clock.monotonic() > (late or 0) + GRACE
