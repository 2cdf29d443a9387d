"""What is printed where, and how a command ends.

Results go to standard output; progress, questions and errors to standard
error. Nobody reading must not matter: a deployment goes on after a hang-up, so
a stream that breaks is quietly replaced by /dev/null. Whatever comes from
outside (commit messages, branch names, containers' logs) is escaped.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from worker.deployment import Status
from worker.errors import (
    BusyError,
    ConfigError,
    HeldError,
    NotFoundError,
    SheetanchorError,
    UsageError,
)
from worker.redact import plain

DONE, FAILED, WRONG, INCONSISTENT, BUSY = range(5)  # exit codes

_OF_STATUS = {
    Status.SUCCEEDED: DONE,
    Status.SKIPPED: DONE,
    Status.SUPERSEDED: DONE,
    Status.INCONSISTENT: INCONSISTENT,
}


class UnfinishedError(SheetanchorError):
    """A deployment was left in the middle; recovery brings it to its end."""


class Stream:
    """A stream that can be written to for ever: whoever read it may go away."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or lose it."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._unplug()
        return len(text)

    def flush(self) -> None:
        """Flush, or lose it."""
        try:
            self._stream.flush()
        except OSError:
            self._unplug()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _unplug(self) -> None:
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(null, self._stream.fileno())
        os.close(null)


def out(text: str) -> None:
    """Print a result."""
    Stream(sys.stdout).write(f"{escaped(text)}\n")


def tell(text: str) -> None:
    """Print something for people."""
    Stream(sys.stderr).write(f"{escaped(text)}\n")


def as_json(value: Any) -> None:
    """Print one JSON object, in ASCII."""
    Stream(sys.stdout).write(f"{json.dumps(value)}\n")


def escaped(text: str) -> str:
    """Return the text with control characters escaped, all but its line ends."""
    return "\n".join(map(plain, text.split("\n")))


def table(rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the rows as lines with aligned columns, each cell escaped."""
    cells = [[plain("-" if cell is None else str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = ("  ".join(map(str.ljust, row, widths)) for row in cells)
    return [line.rstrip() for line in padded]


def fields(values: Mapping[str, object]) -> list[str]:
    """Return `name  value` lines, without what is None or empty."""
    return table([(name, value) for name, value in values.items() if value not in (None, "", [])])


def code_of(status: Status) -> int:
    """Return the exit code of a deployment that ended so."""
    return _OF_STATUS.get(status, FAILED)


def code_of_error(error: SheetanchorError) -> int:
    """Return the exit code of a command that ended with this error."""
    if isinstance(error, ConfigError | UsageError | NotFoundError):
        return WRONG
    if isinstance(error, BusyError | HeldError):
        return BUSY
    return INCONSISTENT if isinstance(error, UnfinishedError) else FAILED


def complain(message: str, remedy: str, *, json_too: bool) -> None:
    """Show an error: in words, and as JSON if that is asked for."""
    tell(f"sheetanchor: {message.rstrip()}\n  {remedy}")
    if json_too:
        as_json({"error": {"message": message, "remedy": remedy}})
