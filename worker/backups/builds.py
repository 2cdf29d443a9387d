"""Builds the indexes of what is loaded in a thread, while the next documents go in.

A build takes mongod one core and 200 MB, so there is one at a time. The dangers are an
error that is noticed late, as a duplicate for a unique index, and a build that goes on
when its restore has failed: mongod itself ends one when the collection is dropped (code
276, also of a killed restore, whose next run drops what it left; seen on 6.0).
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from threading import Event, Thread
from types import TracebackType
from typing import Self, TypeVar

from worker.backups.manifest import CollectionEntry
from worker.errors import SheetanchorError

THREAD = "index builds"
LOOKS_EVERY = 0.1  # seconds, at whether all are built
ENDS_WITHIN = 60.0  # seconds that a build gets to end once its collection is dropped

log = logging.getLogger(__name__)

T = TypeVar("T")
Look = Callable[[], None]  # raises what ends the loading


class Builds:
    """Calls `build` for each collection that is added; `drop` ends the one under way."""

    def __init__(
        self, build: Callable[[str, CollectionEntry], None], drop: Callable[[str], None]
    ) -> None:
        self._build = build
        self._drop = drop
        self._line: SimpleQueue[tuple[str, CollectionEntry] | None] = SimpleQueue()
        self._under_way: str | None = None
        self._unwanted = Event()
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name=THREAD, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the thread; a build that goes on is ended by dropping what it is of."""
        self._unwanted.set()
        self._line.put(None)
        under_way = self._under_way
        if under_way is not None:
            try:
                self._drop(under_way)
            except SheetanchorError as failed:  # hides nothing: the restore has failed already
                log.warning("restore.left_behind", extra={"reason": str(failed)})
        self._thread.join(ENDS_WITHIN)
        if self._thread.is_alive():
            log.warning("build.outlived", extra={"collection": under_way})

    def add(self, name: str, entry: CollectionEntry) -> None:
        """Have the indexes built of a collection whose documents are in."""
        self._line.put((name, entry))

    def finish(self, tick: Callable[[], None]) -> None:
        """Return when all are built; call `tick` now and then. Raises what a build raised."""
        self._line.put(None)
        while self._thread.is_alive():
            self._thread.join(LOOKS_EVERY)
            self.look()
            tick()
        self.look()

    def look(self) -> None:
        """Raise what a build raised, if one did."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while added := self._line.get():
                self._under_way = added[0]  # before the look: or both sides could miss the other
                if self._unwanted.is_set():
                    return
                self._build(*added)
                self._under_way = None
        except BaseException as error:  # noqa: BLE001 - raised again by whoever looks
            self._under_way = None
            self._failure = error


def looking(parts: Iterable[T], look: Look) -> Iterator[T]:
    """Yield the parts, with a `look` at each: nothing more is wanted once a build has failed."""
    for part in parts:
        look()
        yield part
