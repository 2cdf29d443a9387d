"""What is due: once, whatever the clock does and however long nobody looked."""

import itertools
from datetime import timedelta

import pytest

from tests.clocks import FakeClock
from worker.clock import rfc3339
from worker.schedule import BACKUP, DRILL, Schedule

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def clock():
    return FakeClock()  # begins at midnight, and only moves by `passed`


@pytest.fixture
def schedule(tmp_path, clock):
    made = Schedule(tmp_path / "schedule.json", {BACKUP: "0 2 * * *"}, clock)
    made.settle()
    return made


def hour(clock):
    """Bring the clock to two o'clock, in whatever zone this runs."""
    local = clock.now().astimezone()
    wanted = local.replace(hour=2, minute=0, second=0)
    clock.passed += wanted - local + (DAY if wanted <= local else timedelta(0))


def days(schedule, clock, count, step=20 * MINUTE):
    """Look each few minutes, do what is due; return when something was done."""
    done = []
    end = clock.passed + count * DAY
    while clock.passed < end:
        clock.passed += step
        schedule.settle()
        for kind in schedule.due():
            schedule.begin(kind)
            schedule.succeeded(kind)
            done.append(clock.now())
    return done


def test_nothing_is_due_as_it_is_switched_on_and_then_once_a_day(schedule, clock):
    assert schedule.due() == []
    done = days(schedule, clock, 30)
    assert len(done) == 30
    assert {moment.astimezone().hour for moment in done} == {2}


def test_what_a_server_missed_in_a_month_is_made_up_once(schedule, clock):
    clock.passed += 30 * DAY
    assert schedule.due() == [BACKUP]
    schedule.begin(BACKUP)
    schedule.succeeded(BACKUP)
    assert schedule.due() == []
    assert len(days(schedule, clock, 3)) == 3


@pytest.mark.parametrize("back", [MINUTE, 30 * MINUTE, HOUR])
def test_clock_set_back_a_little_repeats_nothing(schedule, clock, back):
    hour(clock)
    [_] = days(schedule, clock, 0.01)
    clock.passed -= back
    done = days(schedule, clock, 2.5)
    assert len(done) == 2
    assert done[0] - clock.now() < timedelta(0)


def test_clock_set_back_a_year_is_followed_by_neither_silence_nor_a_burst(schedule, clock):
    days(schedule, clock, 3)
    clock.passed -= 365 * DAY
    assert not schedule.is_settled()
    assert len(days(schedule, clock, 10)) == 10


def test_clock_set_forward_a_year_and_back_again_costs_one_backup_more(schedule, clock):
    clock.passed += 365 * DAY
    assert len(days(schedule, clock, 0.01)) == 1
    clock.passed -= 365 * DAY
    assert len(days(schedule, clock, 10)) == 10


def test_failure_is_tried_again_with_pauses_that_grow_and_is_shown_until_the_next_success(
    schedule, clock
):
    hour(clock)
    began = []
    for _ in range(4):
        while not schedule.due():
            clock.passed += MINUTE / 4
        began.append(clock.passed)
        schedule.begin(BACKUP)
        schedule.failed(BACKUP, "mongod is away.", "Start it.", again=True)
    waited = [after - before for before, after in itertools.pairwise(began)]
    assert waited == [MINUTE, 2 * MINUTE, 4 * MINUTE]
    shown = schedule.view()[BACKUP]
    assert (shown["failed"]["why"], shown["succeeded_at"]) == ("mongod is away.", None)
    assert shown["next"] == rfc3339(clock.now() + 8 * MINUTE)
    clock.passed += 8 * MINUTE
    schedule.begin(BACKUP)
    schedule.succeeded(BACKUP)
    shown = schedule.view()[BACKUP]
    assert (shown["failed"], shown["succeeded_at"]) == (None, rfc3339(clock.now()))
    assert schedule.due() == []


def test_failure_that_only_its_next_time_may_mend_waits_for_that(schedule, clock):
    hour(clock)
    schedule.begin(BACKUP)
    schedule.failed(BACKUP, "damaged", "Look.", again=False)
    assert schedule.due() == []
    assert schedule.view()[BACKUP]["failed"]["why"] == "damaged"
    clock.passed += DAY
    assert schedule.due() == [BACKUP]


def test_what_kills_its_process_is_due_again_and_not_at_once(schedule, clock):
    hour(clock)
    for wait in (1, 2, 4):
        schedule.begin(BACKUP)  # and no end
        assert schedule.due() == []
        clock.passed += wait * MINUTE
        assert schedule.due() == [BACKUP]


def test_pause_of_a_clock_that_was_set_back_since_is_over(schedule, clock):
    days(schedule, clock, 1)
    hour(clock)
    schedule.begin(BACKUP)
    clock.passed -= 20 * HOUR
    assert schedule.is_settled()
    assert schedule.due() == [BACKUP]


def test_stopped_in_order_it_is_as_if_it_had_not_begun(schedule, clock):
    hour(clock)
    before = schedule.begin(BACKUP)
    schedule.put_back(BACKUP, before)
    assert schedule.due() == [BACKUP]


def test_new_cron_text_counts_from_now_and_what_is_switched_off_is_never_due(tmp_path, clock):
    path = tmp_path / "schedule.json"
    both = Schedule(path, {BACKUP: "0 2 * * *", DRILL: "0 4 * * 0"}, clock)
    both.settle()
    clock.passed += 8 * DAY
    assert both.due() == [BACKUP, DRILL]
    other = Schedule(path, {BACKUP: "30 5 * * *"}, clock)
    assert not other.is_settled()
    other.settle()
    assert (other.due(), other.is_settled()) == ([], True)
    off = Schedule(path, {}, clock)
    assert (off.due(), off.view()) == ([], {BACKUP: None, DRILL: None})


@pytest.mark.parametrize("ruined", ["{", "[]", '{"backup": {}}', '{"backup": 1}'])
def test_ruined_file_is_set_aside_and_counting_begins_anew(schedule, ruined, clock):
    schedule.path.write_text(ruined)
    schedule.settle()
    assert schedule.due() == []
    assert len(days(schedule, clock, 2)) == 2
    assert list(schedule.path.parent.glob("schedule.json.unreadable-*"))
