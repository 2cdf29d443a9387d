"""The worker of the slow queue, and its scan for slow work that no bell announced.

The same as the other worker (`bells`, `scan`), but that SIGTERM stops what runs at once:
nobody's app is in the middle of anything, and its request is still on disk. And it reads a
configuration that was changed: a schedule that `status` shows must not wait for a restart.
"""

import logging
import os
import sys
import threading
from pathlib import Path

import worker.slow  # noqa: F401 - imported once, so that each fork of this process is ready
from worker import configfile, lock, recovery, service
from worker.adapters.process import Child
from worker.bells import answer_bells
from worker.clock import SystemClock
from worker.config import App, Config
from worker.errors import ConfigError
from worker.outgoing import Outgoing
from worker.requests import BACKUP as ASKED
from worker.requests import SLOW, Requests
from worker.schedule import BACKUP, Schedule
from worker.sending import newest
from worker.state import State
from worker.stopping import listen
from worker.teller import KINDS

EVERY = 5.0  # seconds
STOPS_WITHIN = 10.0  # seconds, then it is killed

log = logging.getLogger(__name__)


class SlowScan(threading.Thread):
    """The scanning thread. Its children die with it, so it lasts as long as the worker."""

    def __init__(self, config: Config, stopping: threading.Event) -> None:
        super().__init__(name="scan", daemon=True)
        self._config = config
        self._read = _stamp(config.path)
        self._stopping = stopping
        self._woken = threading.Event()
        self._children: dict[str, Child] = {}
        self._told: set[str] = set()  # apps whose backup waits for its turn

    @property
    def config(self) -> Config:
        """The configuration as it was read last; of the server's own, as it was first."""
        return self._config

    def wake(self) -> None:
        """Look now: a job process has died, or it is time to stop."""
        self._woken.set()

    def run(self) -> None:
        """Look, wait, look again; at the end stop what runs."""
        while not self._stopping.is_set():
            self._read_again_if_changed()
            for app in self._config.apps.values():
                try:
                    self._look(app)
                except Exception:  # this thread must outlive whatever one app's files hold
                    log.exception("scan.failed", extra={"app": app.name})
            self._woken.wait(EVERY)
            self._woken.clear()
        for child in self._children.values():
            child.stop(timeout=STOPS_WITHIN)

    def _read_again_if_changed(self) -> None:
        """Have the apps as the file has them now; of a wrong file, as they were."""
        stamp = _stamp(self._config.path)
        if stamp == self._read:
            return
        self._read = stamp
        try:
            read = configfile.load(self._config.path)
        except ConfigError as error:
            log.error("config.refused", extra={"why": error.message})  # noqa: TRY400 - our words
            return
        kept = {"server": self._config.server}
        self._config = read.model_copy(update=kept)
        log.info("config.read_again", extra={"path": str(self._config.path)})

    def _look(self, app: App) -> None:
        child = self._children.get(app.name)
        if child is not None and child.ended() is None:
            return
        state = State.of(self._config, app)
        if self._waits(app, state) and lock.is_free(state.slow_lock):
            log.info("slow.found", extra={"app": app.name})
            argv = [sys.executable, "-m", "worker.slow", app.name]
            self._children[app.name] = Child(app.name, argv, os.environ)

    def _waits(self, app: App, state: State) -> bool:
        """Return whether something is asked for or due that can be done now."""
        schedule = Schedule.of(app, state, SystemClock())
        asked = {one.verb for one in Requests(state.slow, SLOW).all()}
        if asked - {ASKED} or not schedule.is_settled():
            return True
        due = [*schedule.due(), *self._to_send(app, state)]
        due += [BACKUP] if asked and BACKUP not in due else []
        if BACKUP not in due:
            self._told.discard(app.name)
            return bool(due)
        if lock.is_free(state.lock) and not recovery.open_journals(state, SystemClock()):
            return True
        if app.name not in self._told:
            log.info("backup.waits", extra={"app": app.name, "why": "a deployment runs"})
        self._told.add(app.name)
        return due != [BACKUP]

    def _to_send(self, app: App, state: State) -> list[str]:
        """Return where the newest backup is to go; nothing goes out while a deployment runs."""
        outgoing = Outgoing.of(app, state, SystemClock())
        if not outgoing.names or not lock.is_free(state.lock):
            return []
        return outgoing.due(newest(app))


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what changes when a file does; nothing while it is being replaced."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def work(config: Config) -> int:
    """Run the slow worker until SIGTERM. Exit code 0."""
    service.environment(config)
    stopping = threading.Event()
    listen(stopping)
    scan = SlowScan(config, stopping)
    scan.start()
    tellers = [kind(lambda: scan.config, stopping) for kind in KINDS]
    for teller in tellers:
        teller.start()
    answer_bells(config, scan.wake, stopping, slow=True)
    scan.wake()
    scan.join()
    for teller in tellers:
        teller.join(STOPS_WITHIN)
    return 0


if __name__ == "__main__":
    sys.exit(work(configfile.load(configfile.find(None, os.environ))))
