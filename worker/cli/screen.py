"""Where a person watches a deployment: a live view on a terminal, lines elsewhere.

All on standard error. Text is escaped here too, and never read as rich's markup.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from rich.console import Console
from rich.live import Live
from rich.text import Text

from worker.cli import output
from worker.clock import SystemClock, parse
from worker.journal import Record
from worker.redact import Passing, plain
from worker.report import Screen

WORD = 10  # columns
_clock = SystemClock()


class Story:
    """What of a deployment people have not been told yet.

    Why a step failed is told once: when the way back begins, which may take long, or
    else by the command's last words, which have the remedy, too.
    """

    def __init__(self) -> None:
        self._began: dict[str, str] = {}
        self._why = ""
        self.ended = False  # then the last words follow

    def of(self, record: Record) -> list[str]:
        """Return sentences for a record: the last is its own."""
        told = [sentence(record, self._began)]
        way_back = record["phase"] == "way_back"
        if way_back and self._why:
            told, self._why = [self._why, *told], ""
        if record["event"] == "failed" and not way_back:
            self._why = plain(f"  {record['facts'].get('failure', '')}")
        self.ended = self.ended or record["event"] == "end"
        return [text for text in told if text]


class Lines:
    """Plain lines: for a pipe, a file, a cron mail."""

    def __init__(self) -> None:
        self._story = Story()

    def record(self, record: Record) -> None:
        """Print that a step began or ended."""
        for text in self._story.of(record):
            output.tell(text)

    def line(self, text: str) -> None:
        """Print a line of the log; how far something is, is for who looks at this moment."""
        if not isinstance(text, Passing) and not self._story.ended:
            output.tell(f"  {text}")


class LiveView:
    """The steps that ended, above; the one that runs, its seconds and the last line, below."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._story = Story()
        self._step, self._since, self._last = "", _clock.monotonic(), ""

    def record(self, record: Record) -> None:
        """Show that a step began, or print that it ended."""
        told = self._story.of(record)
        if record["event"] == "intent":
            self._since, self._last = _clock.monotonic(), ""
            self._step = told.pop() if told else self._step
        for text in told:
            self._console.print(Text(text))

    def line(self, text: str) -> None:
        """Show a line of the log until the next one."""
        self._last = plain(text)

    def __rich__(self) -> Text:
        """Return what is drawn, several times a second."""
        seconds = _clock.monotonic() - self._since
        shown = Text(f"{self._step} {seconds:.0f} s  ".lstrip(), overflow="fold")
        shown.append(self._last, style="dim")
        wide = 2 * self._console.width - WORD  # lines end between words
        shown.truncate(wide, overflow="ellipsis")
        return shown


@contextmanager
def opened() -> Iterator[Screen]:
    """Yield the screen that fits standard error."""
    stream = cast("IO[str]", output.Stream(sys.stderr))
    console = Console(file=stream, markup=False, highlight=False, emoji=False)
    if not console.is_terminal or console.is_dumb_terminal:
        yield Lines()
        return
    view = LiveView(console)
    with Live(
        view,
        console=console,
        refresh_per_second=4,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield view


def sentence(record: Record, began: dict[str, str]) -> str:
    """Return a record in words; empty for what people need not see.

    `began` remembers when each step began, between two calls.
    """
    step, event = record["step"], record["event"]
    if step == "accept" or event == "end":
        return ""
    name = f"way back: {step}" if record["phase"] == "way_back" else str(step)
    if event == "intent" and record["facts"]:
        return ""  # a note within the step
    if event == "intent":
        began[name] = record["time"]
        return f"{name} ..."
    ended = parse(record["time"])
    since = parse(began[name]) if name in began else ended
    took = f"{(ended - since).total_seconds():.1f} s"
    if event == "failed" and record["phase"] == "way_back":
        return plain(f"{name} failed after {took}: {record['facts'].get('failure', '')}")
    return f"{name} {'failed after' if event == 'failed' else 'done in'} {took}"
