"""Ends slow work at SIGTERM at once: it can all be done again."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

CLEANS_UP_WITHIN = 5.0  # seconds; what is left then, the next run removes

log = logging.getLogger(__name__)


@contextmanager
def stoppable(put_back: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM end what is done here at once, after `put_back`, as if it had not begun."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: now it cleans up
        put_back()
        end_soon()
        log.info("slow.stopped")
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end_soon() -> None:
    """End this process in a while, whatever it does: a thread that hashes 50 GB hears nothing."""
    at_last = threading.Timer(CLEANS_UP_WITHIN, os._exit, (0,))
    at_last.daemon = True
    at_last.start()
