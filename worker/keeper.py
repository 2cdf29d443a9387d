"""Keeps the worker of the slow queue, a process of its own, beside this worker.

It is started when there is slow work for the first time: most servers have none all day,
and a process costs memory. Unlike a deployment it is not waited for: it is told to stop
as soon as this worker is, and what it does can be done again.
"""

import logging
import os
import sys
import threading

from worker.adapters.process import Child
from worker.config import Config
from worker.requests import SLOW, Requests
from worker.state import State
from worker.teller import is_wanted

LOOKS_EVERY = 1.0  # seconds
STOPS_WITHIN = 15.0  # seconds, then it is killed

log = logging.getLogger(__name__)


class Keeper(threading.Thread):
    """The thread that starts it, again when it ends by itself; it dies with this thread."""

    def __init__(self, config: Config, stopping: threading.Event) -> None:
        super().__init__(name="keeper", daemon=True)
        self._config = config
        self._stopping = stopping

    def run(self) -> None:
        """Look, wait, look again, until `stopping` is set."""
        child: Child | None = None
        while not self._stopping.wait(LOOKS_EVERY):
            if child is not None and (code := child.ended()) is not None:
                log.error("process.ended", extra={"child": "slow", "exit": code})
                child = None
            elif child is None and self._is_wanted():
                argv = [sys.executable, "-m", "worker.slow_bells"]
                child = Child("slow", argv, os.environ)
        if child is not None:
            child.stop(timeout=STOPS_WITHIN)

    def _is_wanted(self) -> bool:
        return is_wanted(self._config) or any(
            app.backup.schedule
            or app.backup.drill
            or app.backup.offsite
            or app.backup.ping_url
            or Requests(State.where(self._config, app).slow, SLOW).all()
            for app in self._config.apps.values()
        )
