"""Finds work that no bell announced: every 5 seconds, in every worker.

Three kinds: a journal without an end whose lock is free (somebody died), a deployment that
is queued (its bell was lost, or the app was busy), and a work folder of somebody who died
between his deployment's end and the tidying. Besides, now and then the remote is asked for
its head (`worker.glance`). Each app's work is done in a process of its own: the worker
itself holds no client of Docker or MongoDB, and a remote that hangs holds up nobody. It
works without Redis; then what is queued is not found.
"""

import logging
import os
import sys
import threading
from pathlib import Path

from worker import aftermath, configfile, lock
from worker.adapters.process import Child
from worker.clock import SystemClock
from worker.config import App, Config
from worker.decisions import Decisions
from worker.deployment import view
from worker.errors import FullError, UnavailableError
from worker.journal import Journal, journals
from worker.ledger import Ledger
from worker.report import cleaned
from worker.rounds import BUSY, Rounds
from worker.state import State
from worker.waiting import Waiting

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds
LOG_TAIL = 20_000  # lines of a log that are imported


class Scan(threading.Thread):
    """The scanning thread. Its children die with it, so it lasts as long as the worker."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        super().__init__(name="scan", daemon=True)
        clock = SystemClock()
        self._config = config
        self._ledger = ledger
        self._woken = threading.Event()
        self._stopping = False
        self._children: dict[str, Child] = {}
        self._looks: dict[str, Child] = {}
        self._rounds = {one.name: Rounds(one.reconcile, clock) for one in config.apps.values()}
        self._full: set[str] = set()  # apps whose full disk was told
        self._ended: dict[Path, int] = {}  # with its size then
        self._imported: dict[Path, int] = {}
        self._tidied: set[Path] = set()

    def wake(self) -> None:
        """Look now: a job process has died."""
        self._woken.set()

    def stop(self) -> None:
        """Start nothing more; wait for what runs."""
        self._stopping = True
        self.wake()
        self.join()

    def run(self) -> None:
        """Look, wait, look again."""
        while not self._stopping:
            for app in self._config.apps.values():
                try:
                    self._look(app)
                except Exception:  # this thread must outlive whatever one app's files hold
                    log.exception("scan.failed", extra={"app": app.name})
            self._beat()
            self._woken.wait(EVERY)
            self._woken.clear()
        for look in self._looks.values():
            look.stop(timeout=None)  # ends at once while it only asks the remote
        for child in self._children.values():
            child.stop(timeout=None)  # ends after the deployment that it runs

    def _look(self, app: App) -> None:
        child = self._children.get(app.name)
        if child is not None and child.ended() is None:
            return
        state = State.of(self._config, app)
        if lock.is_free(state.lock) and self._has_room(app, state):
            if self._somebody_died(state) or self._waits(app, state) or self._untidy(state):
                log.info("work.found", extra={"app": app.name})
                argv = [sys.executable, "-m", "worker.jobs", app.name]
                self._children[app.name] = Child(app.name, argv, os.environ)
            else:
                self._ask_remote(app, state)
        self._import(app, state)

    def _has_room(self, app: App, state: State) -> bool:
        """Return whether a journal can be written. One line says that all waits for that."""
        try:
            state.reserve.judge()
        except FullError as error:
            if app.name not in self._full:
                told = {"app": app.name, "error": str(error)}
                log.error("disk.full", extra=told)  # noqa: TRY400 - it is no fault of ours
                self._full.add(app.name)
            return False
        if app.name in self._full:
            self._full.remove(app.name)
            log.info("disk.has_room", extra={"app": app.name})
        return True

    def _ask_remote(self, app: App, state: State) -> None:
        """Start a look at the remote if one is due, or note how the last one ended."""
        rounds, child = self._rounds[app.name], self._looks.get(app.name)
        if child is not None:
            code = child.ended()
            if code is None:
                return
            del self._looks[app.name]
            if code != BUSY:
                rounds.looked(well=code == 0)
        if rounds.due(Decisions(state.decisions).read()):
            argv = [sys.executable, "-m", "worker.glance", app.name]
            self._looks[app.name] = Child(app.name, argv, os.environ)

    def _somebody_died(self, state: State) -> bool:
        """Return whether a journal is open; one that has ended grows again if it is resumed."""
        for journal in journals(state.journals, SystemClock()):
            size = journal.path.stat().st_size
            if self._ended.get(journal.path) == size:
                continue
            if not _is_over(journal):
                return True
            self._ended[journal.path] = size
        return False

    def _untidy(self, state: State) -> bool:
        """Return whether a work folder is left; one that cannot be removed is tried once."""
        left = {*state.works.iterdir()} - self._tidied
        self._tidied |= left
        return bool(left)

    def _waits(self, app: App, state: State) -> bool:
        waiting = Waiting(app, state, self._ledger, SystemClock())
        return waiting.any() or waiting.untold()

    def _import(self, app: App, state: State) -> None:
        """Show journals that the ledger has not seen: of a command line, or from a Redis outage."""
        try:
            emptied = self._forget_if_emptied(app)
            for journal in journals(state.journals, SystemClock()):
                size = journal.path.stat().st_size
                deployment = journal.deployment()
                if self._imported.get(journal.path) == size or deployment is None:
                    continue
                shown = cleaned(view(deployment, journal.records()), configfile.redactor(app))
                self._ledger.publish(shown, deployment)
                text = state.log(deployment.id)
                lines = text.read_text(errors="replace").splitlines() if text.exists() else []
                self._ledger.replace_log(deployment.id, lines[-LOG_TAIL:], len(lines))
                self._imported[journal.path] = size
                aftermath.show(app, state, self._ledger)
            if emptied:
                self._ledger.note_imported(app.name)
        except UnavailableError:
            return

    def _forget_if_emptied(self, app: App) -> bool:
        """Import all anew when Redis lost everything; what was queued may be lost, too."""
        if self._ledger.imported(app.name):
            return False
        self._imported.clear()
        self._rounds[app.name].look_now()
        return True

    def _beat(self) -> None:
        try:
            self._ledger.beat()
        except UnavailableError:
            return


def _is_over(journal: Journal) -> bool:
    """Whether a journal has its end; who recovers sets an unreadable one aside."""
    try:
        journal.check()
    except (ValueError, KeyError, TypeError):
        return False
    return journal.ended()
