from datetime import timedelta

import pytest

from tests.clocks import FakeClock
from worker.decisions import Decisions
from worker.rounds import Rounds


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def decisions(tmp_path):
    return Decisions(tmp_path / "decisions.json")


def looks(rounds, clock, decisions, *, minutes, well=True):
    """Scan every 5 seconds; return the minutes at which was looked."""
    found = []
    for second in range(0, minutes * 60, 5):
        if rounds.due(decisions.read()):
            found.append(second // 60)
            rounds.looked(well=well)
        clock.passed += timedelta(seconds=5)
    return found


def test_remote_is_asked_at_the_start_and_every_n_minutes(clock, decisions):
    assert looks(Rounds(5, clock), clock, decisions, minutes=16) == [0, 5, 10, 15]


def test_zero_is_only_at_the_start(clock, decisions):
    assert looks(Rounds(0, clock), clock, decisions, minutes=600) == [0]


def test_remote_that_is_down_is_asked_with_growing_pauses(clock, decisions):
    asked = looks(Rounds(0, clock), clock, decisions, minutes=200, well=False)
    assert asked == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    asked = looks(Rounds(5, clock), clock, decisions, minutes=20, well=False)
    assert [minute - asked[0] for minute in asked] == [0, 1, 3, 7, 12, 17]


def test_head_that_was_put_off_is_looked_for_when_its_pause_is_over(clock, decisions):
    rounds = Rounds(0, clock)
    rounds.looked(well=True)
    decisions.postpone("a" * 40, "d1", clock.now(), "down", died=False)
    decisions.postpone("a" * 40, "d1", clock.now(), "down", died=False)

    assert looks(rounds, clock, decisions, minutes=4) == [2, 3]  # nobody took it up: once a minute


@pytest.mark.parametrize("kind", ["frozen", "inconsistent"])
def test_app_that_a_person_holds_is_left_alone_until_it_is_not(clock, decisions, kind):
    rounds = Rounds(5, clock)
    decisions.hold(kind, by="ann", at="now", reason="because", head=None)
    assert looks(rounds, clock, decisions, minutes=30) == []

    decisions.lift(kind, by="ann", at="later")

    assert rounds.due(decisions.read())


def test_redis_that_lost_everything_is_a_reason_to_look_now(clock, decisions):
    rounds = Rounds(0, clock)
    rounds.looked(well=True)
    assert not rounds.due(decisions.read())

    rounds.look_now()

    assert rounds.due(decisions.read())
