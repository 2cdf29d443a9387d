"""Which cron texts are taken, what was meant by the others, and when they are due."""

import time
from datetime import UTC, datetime

import pytest

from worker.cron import checked, next_after


@pytest.fixture
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("0 2 * * *", "0 2 * * *"),
        ("  0  2 *\t* * ", "0 2 * * *"),
        ("", ""),
        (" ", ""),
        ("*/15 8-18/2 1,15 JAN-mar Mon-Fri", "*/15 8-18/2 1,15 jan-mar mon-fri"),
        ("0 4 * * 7", "0 4 * * 7"),
        ("0 4 * * fri-mon", "0 4 * * fri-mon"),
    ],
)
def test_five_fields_are_taken(text, taken):
    assert checked(text) == taken


@pytest.mark.parametrize(
    ("text", "faults", "meant"),
    [
        ("2:00", ["five fields"], "0 2 * * *"),
        ("daily at 02:30", ["five fields"], "30 2 * * *"),
        ("@dayly", ["five fields"], "0 2 * * *"),
        ("0 2", ["five fields"], "0 2 * * *"),
        ("0 0 2 * * *", ["five fields"], "0 2 * * *"),
        ("61 24 * * *", ["minute '61'", "hour '24'", "0 to 23"], "59 0 * * *"),
        ("0 2 0 13 funday", ["day of the month '0'", "month '13'", "'funday'"], "0 2 1 1 sun"),
        ("0 2 * * Sunday", ["weekday 'sunday'"], "0 2 * * sun"),
        ("0 2 5-1 * *", ["day of the month '5-1'"], "0 2 1-5 * *"),
        ("0 2 31 2 *", ["no month has"], "0 2 28 2 *"),
        ("*/0 * * * *", ["minute '*/0'"], "*/1 * * * *"),
        ("0 2 * * 5#3", ["weekday '5#3'"], "0 2 * * *"),
        ("H 2 ? * L", ["minute 'h'", "'?'", "weekday 'l'"], "0 2 * * 0"),
    ],
)
def test_wrong_fields_are_told_all_at_once_with_what_was_meant(text, faults, meant):
    with pytest.raises(ValueError, match="did you mean") as refused:
        checked(text)
    said = str(refused.value)
    assert [fault for fault in faults if fault not in said] == []
    assert said.endswith(f'(did you mean "{meant}"?)')
    assert checked(meant) == meant


def test_what_means_nothing_gets_no_guess():
    with pytest.raises(ValueError, match="five fields: minute, hour, day") as refused:
        checked("when it suits you")
    assert "did you mean" not in str(refused.value)


def at(text):
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("cron", "after", "due"),
    [
        ("0 2 * * *", "2026-11-22T01:00:00+01:00", "2026-11-22T02:00:00+01:00"),
        ("0 2 * * *", "2026-11-22T02:00:00+01:00", "2026-11-23T02:00:00+01:00"),
        ("0 2 * * *", "2026-07-22T23:30:00+00:00", "2026-07-23T02:00:00+02:00"),
        # 29 March: 02:30 does not exist; 25 October: 02:30 comes twice
        ("30 2 * * *", "2026-03-28T03:00:00+01:00", "2026-03-29T01:30:00+01:00"),
        ("30 2 * * *", "2026-03-29T01:30:00+01:00", "2026-03-30T02:30:00+02:00"),
        ("30 2 * * *", "2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00"),
        ("30 2 * * *", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"),
        ("30 2 * * *", "2026-10-25T02:10:00+01:00", "2026-10-26T02:30:00+01:00"),
        ("0 4 * * 0", "2026-11-23T00:00:00+01:00", "2026-11-29T04:00:00+01:00"),
    ],
)
def test_times_are_the_server_s_own_also_when_its_clocks_change(cron, after, due):
    assert next_after(cron, at(after)) == at(due)
