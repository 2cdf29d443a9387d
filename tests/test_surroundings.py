from types import SimpleNamespace

import pytest

from tests.clocks import FakeClock
from worker.errors import (
    BackupError,
    CancelledError,
    CommandError,
    FullError,
    HealthError,
    UnavailableError,
)
from worker.surroundings import Patience, to_blame

AWAY = UnavailableError("It did not answer.", remedy="Start it.")
ILL = HealthError("The container exited.", remedy="Look at its log.")


def answers():
    """Docker or MongoDB, well."""


def away():
    raise AWAY


def attempt(docker=answers, mongodb=answers, *, inherited=False):
    return SimpleNamespace(
        engine=SimpleNamespace(version=docker),
        mongo=SimpleNamespace(ping=mongodb),
        inherited=inherited,
        reserves=(),
    )


def full():
    """Return the error of a real full disk."""
    try:
        with open("/dev/full", "wb", buffering=0) as file:
            file.write(b"x")
    except OSError as error:
        return error
    raise AssertionError("/dev/full took it")


def caused(error, cause):
    error.__cause__ = cause
    return error


def test_full_disk_is_no_fault_of_the_revision():
    backup = caused(BackupError("It could not be written.", remedy="…"), full())
    building = CommandError(["docker-compose", "build"], "exited 17", "x: No space left on device")

    git = CommandError(["git", "read-tree"], "exited 128", "fatal: write error. Out of diskspace")

    for error in (full(), backup, building, git):
        assert isinstance(to_blame(attempt(), error), FullError)


@pytest.mark.parametrize("absent", ["docker", "mongodb"])
def test_unhealthy_version_is_not_to_blame_while_what_it_needs_is_away(absent):
    unreachable = caused(HealthError("It could not be asked.", remedy="…"), AWAY)

    assert to_blame(attempt(**{absent: away}), ILL) is AWAY
    assert to_blame(attempt(), unreachable) is AWAY


def test_broken_build_and_unhealthy_version_are_to_blame_themselves():
    build = CommandError(["docker-compose", "build"], "exited 17", "npm ERR!")

    assert [to_blame(attempt(), error) for error in (build, ValueError("x"))] == [None, None]
    assert to_blame(attempt(), HealthError("It exited.", remedy="…")) is None


def test_person_who_cancelled_is_asked_for_nothing_more():
    cancelled = CancelledError("It was interrupted.", remedy="Deploy again.")

    assert to_blame(attempt(docker=away), cancelled) is None


def test_failure_that_a_dead_process_had_noted_is_not_blamed_on_what_is_away_now():
    assert to_blame(
        attempt(docker=away, inherited=True), HealthError("It exited.", remedy="…")
    ) is (None)


class Outage:
    """Docker, or MongoDB: away until the clock says so."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds = clock, seconds

    def __call__(self):
        if self.clock.monotonic() < self.seconds:
            raise AWAY


def patience(*, docker=0, mongodb=0, inherited=False):
    clock = FakeClock()
    one = attempt(Outage(clock, docker), Outage(clock, mongodb), inherited=inherited)
    one.clock, one.say = clock, lambda _: None
    return Patience(one, 600, 2), clock


@pytest.mark.parametrize("absent", ["docker", "mongodb"])
@pytest.mark.parametrize("error", [AWAY, ILL, CommandError(["docker-compose", "up"], "exited", "")])
def test_no_try_of_the_way_back_counts_while_somebody_is_away(absent, error):
    """Also that of a process whose predecessor died, and of what does not say who was away."""
    waiting, clock = patience(**{absent: 590}, inherited=True)

    assert waiting.was_theirs(error)
    assert clock.monotonic() == 590


def test_a_try_counts_while_both_answer_and_on_a_full_disk():
    waiting, clock = patience()

    freed = []
    waiting.attempt.reserves = [SimpleNamespace(make_room=lambda: freed.append("room"))]

    assert not waiting.was_theirs(ILL)
    assert not freed
    assert not waiting.was_theirs(full())
    assert freed
    assert clock.monotonic() == 0


def test_who_stays_away_is_waited_for_once_and_the_failure_then_told():
    waiting, clock = patience(docker=700)

    with pytest.raises(HealthError):
        waiting.was_theirs(ILL)

    assert 600 <= clock.monotonic() <= 604


def test_what_says_it_is_away_and_answers_when_asked_is_not_tried_for_ever():
    waiting, clock = patience()
    while clock.monotonic() <= 600:
        assert waiting.was_theirs(AWAY)
        clock.sleep(2)

    with pytest.raises(UnavailableError):
        waiting.was_theirs(AWAY)


def test_who_is_away_again_after_a_try_that_counted_is_waited_for_anew():
    waiting, clock = patience(docker=590)
    assert waiting.was_theirs(ILL)
    assert not waiting.was_theirs(ILL)

    waiting.attempt.engine.version.seconds = 1100

    assert waiting.was_theirs(ILL)
    assert clock.monotonic() == 1100
