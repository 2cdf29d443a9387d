"""Stages of a stream at once: nothing is lost between two threads, and none is left behind."""

import os
import threading
from contextlib import closing
from itertools import count

import pytest

from tests.backups.support import until
from worker.adapters import files
from worker.backups.ahead import AHEAD, ahead


def batches(number, error=None):
    yield from (bytes([n]) * 3 for n in range(number))
    if error:
        raise error


@pytest.mark.parametrize("number", [0, 1, 2, 3, 200])
def test_all_come_through_in_order(number):
    with closing(ahead(ahead(batches(number)))) as read:
        assert list(read) == list(batches(number))


@pytest.mark.parametrize("number", [0, 1, 2, 50])
def test_an_error_comes_after_what_was_read_before_it(number):
    got = []
    with (
        pytest.raises(ValueError, match="torn"),
        closing(ahead(batches(number, ValueError("torn")))) as read,
    ):
        got += read
    assert got == list(batches(number))[: len(got)]


def test_who_stops_early_leaves_no_thread_and_does_not_read_on():
    taken, before = [], threading.active_count()

    def endless():
        for n in count():
            taken.append(n)
            yield b"x"

    with closing(ahead(endless())) as read:
        next(read)
        until(lambda: len(taken) >= AHEAD + 2)
    assert threading.active_count() == before
    assert len(taken) <= AHEAD + 4  # memory is bounded: a stage never runs away


def test_a_stream_of_one_batch_needs_no_thread():
    before = threading.active_count()
    with closing(ahead(batches(1))) as read:
        assert next(read) == bytes(3)
        assert threading.active_count() == before


def test_what_the_disk_begins_early_is_all_there(tmp_path):
    parts = [os.urandom(3 << 20) for _ in range(9)]
    with closing_descriptor(tmp_path / "big") as descriptor:
        write = files.write_through(descriptor)
        for part in parts:
            write(part)
    assert (tmp_path / "big").read_bytes() == b"".join(parts)


def closing_descriptor(path):
    return files.closing(os.open(path, files.NEW, 0o600))
