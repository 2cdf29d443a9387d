from types import SimpleNamespace

import pytest

from worker.errors import (
    BackupError,
    CancelledError,
    CommandError,
    FullError,
    HealthError,
    UnavailableError,
)
from worker.surroundings import to_blame

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

    for error in (full(), backup, building):
        assert isinstance(to_blame(attempt(), error), FullError)


@pytest.mark.parametrize("absent", ["docker", "mongodb"])
def test_unhealthy_version_is_not_to_blame_while_what_it_needs_is_away(absent):
    assert to_blame(attempt(**{absent: away}), ILL) is AWAY
    assert to_blame(attempt(), caused(ILL, AWAY)) is AWAY


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
