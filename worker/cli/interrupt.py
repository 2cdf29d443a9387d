"""Ctrl-C, once, and only while giving up is safe.

The first one raises KeyboardInterrupt in the pipeline, which then goes back.
From the way back's begin (also one that a failure began), and from the commit
on, it only says so: breaking off there would leave the app in the middle until
a recovery. A hang-up is ignored throughout; SIGTERM, which a host sends that goes
down, too: who dies of it leaves the app in the middle, perhaps with no worker to mend it.
"""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from worker.journal import Record
from worker.report import Screen

_STOPPED = b"\r\nInterrupted: please wait while it is brought to a good end.\r\n"
_GOES_ON = b"\r\nTerminated: it is brought to its end first. Ctrl-C (SIGINT) breaks it off.\r\n"
_WAIT = b"\r\nPlease wait: from here on Ctrl-C breaks nothing off.\r\n"


class Interrupt:
    """A screen before another one: it sees how far the deployment is."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._armed = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupt":
        self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._pressed)
        self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, _terminated)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def arm(self) -> None:
        """Let the next Ctrl-C interrupt: the deployment begins."""
        self._armed = True

    def record(self, record: Record) -> None:
        """Note whether going on is the only safe way; pass it on."""
        back = record["phase"] == "way_back" or record["event"] in ("failed", "end")
        if back or record["step"] == "commit":
            self._armed = False
        self._screen.record(record)

    def line(self, text: str) -> None:
        """Pass it on."""
        self._screen.line(text)

    def _pressed(self, number: int, frame: FrameType | None) -> None:
        armed, self._armed = self._armed, False
        _say(_STOPPED if armed else _WAIT)
        if armed:
            raise KeyboardInterrupt


def _terminated(number: int, frame: FrameType | None) -> None:
    _say(_GOES_ON)


def _say(text: bytes) -> None:
    with suppress(OSError):  # past Python's buffers: those may be busy at this moment
        os.write(sys.stderr.fileno(), text)
