"""On a real disk of a few MiB: the last words of a deployment find room."""

import subprocess

import pytest

from tests.clocks import FakeClock
from worker.decisions import Decisions
from worker.deployment import Deployment
from worker.errors import FullError
from worker.journal import Journal
from worker.reserve import FULL, SIZE, Reserve, judge_disk


@pytest.fixture
def disk(tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", tmp_path], check=True)
    (tmp_path / "journal").mkdir()
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.fixture
def reserve(disk):
    made = Reserve(disk / "reserve")
    made.refill()
    return made


@pytest.fixture
def journal(disk, reserve):
    at = "2026-11-22T10:00:00.000Z"
    asked = Deployment(id="d1", app="shop", kind="deploy", trigger="push", by=None, queued_at=at)
    return Journal.begin(disk / "journal", asked, FakeClock())


def fill(disk):
    """Take every byte; return the file that does."""
    filler = disk / f"filler-{len(list(disk.iterdir()))}"
    try:
        with filler.open("wb", buffering=0) as file:
            while file.write(bytes(1 << 12)):
                pass
    except OSError as error:
        if error.errno not in FULL:
            raise
    return filler


def test_journal_and_decisions_are_written_on_a_full_disk(disk, journal, reserve):
    decisions = Decisions(disk / "decisions.json")
    fill(disk)

    for _ in range(200):
        journal.append("way_back", "halt", "failed", {"failure": "x" * 1000})
    decisions.decide("abc", "failed", "d1", "2026-11-22T10:00:00.000Z", "why" * 1000)

    assert len(journal.records()) == 201
    assert decisions.read()["head"]["revision"] == "abc"
    assert 0 < reserve.path.stat().st_size < SIZE


def test_whoever_takes_a_piece_does_not_take_the_last_words_room(disk, journal):
    fill(disk)
    journal.append("deploy", "build", "failed", {"failure": "x" * 5000})
    fill(disk)

    journal.append("after", "end", "end", {"failure": "x" * 70_000})

    assert journal.ended()


def test_no_half_a_record_stays_when_nothing_is_left(disk, journal, reserve):
    reserve.path.unlink()
    fill(disk)

    with pytest.raises(FullError, match="used up"):
        journal.append("deploy", "build", "intent", {"failure": "x" * 9000})

    assert journal.path.read_bytes().endswith(b"\n")


def test_nothing_is_begun_on_a_disk_that_has_no_room_for_an_end_and_all_once_it_has(disk):
    at = "2026-11-22T10:00:00.000Z"
    asked = Deployment(id="d2", app="shop", kind="deploy", trigger="push", by=None, queued_at=at)
    filler = fill(disk)
    with pytest.raises(FullError, match="nothing is deployed") as refused:
        Journal.begin(disk / "journal", asked, FakeClock())
    with pytest.raises(FullError, match=f"The disk of {disk} is full"):
        judge_disk(disk)

    assert "Free some space" in refused.value.remedy
    assert list((disk / "journal").iterdir()) == []
    filler.unlink()
    assert Journal.begin(disk / "journal", asked, FakeClock()).records()
    judge_disk(disk)


def test_reserve_is_made_whole_again_once_there_is_room_and_its_lack_is_told(disk, reserve):
    filler = fill(disk)
    reserve.make_room()
    fill(disk)
    with pytest.raises(FullError, match=f"disk of {disk} is full"):
        reserve.refill()

    filler.unlink()
    reserve.refill()

    assert reserve.path.stat().st_size == SIZE
