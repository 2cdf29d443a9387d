"""Reads ahead in a thread: one stage of a stream works while the next one does.

Hashing, compressing, reading and writing leave Python's lock, so stages run at once. The
dangers are a thread that outlives its stream, an error that is lost between the two, and
memory: a stage holds a few batches at most, whatever their number.
"""

from collections.abc import Generator, Iterable, Iterator
from itertools import chain, islice
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

AHEAD = 1  # batch that waits between two stages: of documents of 16 MB it is that large
LOOKS_EVERY = 0.1  # seconds, at whether the other thread still wants something

T = TypeVar("T")
Line = Queue[T | BaseException | None]


def ahead(batches: Iterable[T]) -> Generator[T, None, None]:
    """Yield the batches while a thread reads the next ones; its error is raised here.

    To be closed: that ends the thread. A stream of a single batch gets none.
    """
    source = iter(batches)
    first = list(islice(source, 2))
    if len(first) == 1:
        yield from first
    elif first:
        yield from _threaded(chain(first, source))


def _threaded(batches: Iterator[T]) -> Generator[T, None, None]:
    line: Line[T] = Queue(AHEAD)
    unwanted = Event()
    thread = Thread(target=_fill, args=(batches, line, unwanted), daemon=True)
    thread.start()
    try:
        while (item := line.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        unwanted.set()
        _empty(line)
        thread.join()


def _fill(batches: Iterator[T], line: Line[T], unwanted: Event) -> None:
    end: BaseException | None = None
    try:
        for batch in batches:
            if not _put(line, batch, unwanted):
                return
    except BaseException as error:  # noqa: BLE001 - raised again by the reader of the line
        end = error
    _put(line, end, unwanted)


def _put(line: Line[T], item: T | BaseException | None, unwanted: Event) -> bool:
    while not unwanted.is_set():
        try:
            line.put(item, timeout=LOOKS_EVERY)
        except Full:
            continue
        return True
    return False


def _empty(line: Line[T]) -> None:
    try:
        while True:
            line.get_nowait()
    except Empty:
        return
