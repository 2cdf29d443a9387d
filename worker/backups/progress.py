"""Says how far a long job is, now and then: bytes, documents, files, rate, time left.

Such a line is worth a moment (`Passing`): a terminal shows the last one, a log keeps few of
them. The time left is by the bytes, so what is linked and takes none lets it fall faster.
"""

from collections.abc import Callable, Iterable, Iterator

from worker.backups.text import size_text
from worker.clock import Clock, SystemClock
from worker.redact import Passing

EVERY = 2.0  # seconds
KNOWN = 100  # from a hundredth on, the rate says how long the rest will take


class Progress:
    """Reports at most every two seconds; what `report` raises ends the job.

    `whole`: the bytes that there are to do, 0 when nobody knows. For one thread.
    """

    def __init__(
        self, report: Callable[[str], None], clock: Clock | None = None, what: str = ""
    ) -> None:
        self.whole = 0
        self._report = report
        self._clock = clock or SystemClock()
        self._what = what
        self._began = self._last = self._clock.monotonic()
        self._bytes = self._documents = self._files = 0

    def begin(self) -> None:
        """Count the time from now on: what is prepared first is no part of it."""
        self._began = self._last = self._clock.monotonic()

    def tick(self, text: Callable[[], str]) -> None:
        """Report, if it is time to."""
        now = self._clock.monotonic()
        if now - self._last >= EVERY:
            self._last = now
            self._report(Passing(text()))

    def add(self, size: int, *, documents: int = 0, files: int = 0) -> None:
        """Count what was done; report, if it is time to."""
        self._bytes += size
        self._documents += documents
        self._files += files
        self.tick(self.text)

    def file(self, size: int, whole: int) -> None:
        """Count a file of `size` bytes, of a job of `whole` bytes."""
        self.whole = whole
        self.add(size, files=1)

    def counting(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """Yield a file's parts and count their bytes: a big file takes a while, too."""
        for part in parts:
            yield part
            self.add(len(part))

    def text(self) -> str:
        """Return how far it is, in words."""
        seconds = self._clock.monotonic() - self._began
        rate = self._bytes / seconds if seconds else 0.0
        done = f"{size_text(self._bytes)} of {size_text(self.whole)}"
        told = [done if self.whole >= self._bytes else f"{size_text(self._bytes)} so far"]
        told += [f"{size_text(rate)}/s"]  # before what a narrow terminal cuts off
        if rate and self._bytes <= self.whole <= self._bytes * KNOWN:
            told.append(f"{duration((self.whole - self._bytes) / rate)} left")
        told += [f"{self._documents:,} documents"] if self._documents else []
        told += [f"{self._files:,} files"] if self._files else []
        return f"{self._what}: {', '.join(told)}"


def duration(seconds: float) -> str:
    """Return a time as people say it: 7 s, 3:05 min, 2:04 h."""
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 - seconds of a minute
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004 - minutes of an hour
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02} h"
