"""The threads that tell others how an app is, beside the slow worker's scan.

One for GitHub and one for people, so that a chat that hangs holds up no status. Processes of
their own would cost memory for little; a deployment's process must not wait for anybody's
network. One teller of each kind an app at a time, also with several workers: by a lock.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from worker import ledger, lock
from worker.clock import SystemClock
from worker.config import App, Config
from worker.errors import BusyError
from worker.github.telling import Telling
from worker.ledger import Ledger
from worker.notify.noticing import Noticing
from worker.sightings import Sightings
from worker.state import State

EVERY = 2.0  # seconds

log = logging.getLogger(__name__)


def is_wanted(config: Config) -> bool:
    """Return whether anybody is to be told of anything."""
    return any(kind.is_wanted(config) for kind in KINDS)


class Teller(threading.Thread):
    """Looks every 2 s. Killed anywhere, it goes on from its files."""

    def __init__(self, config: Callable[[], Config], stopping: threading.Event) -> None:
        super().__init__(name=type(self).__name__, daemon=True)
        self._config = config
        self._stopping = stopping
        self._ledger = Ledger(ledger.connect(ledger.url_of(config()), for_web=True))
        self._sightings: dict[str, tuple[App, Sightings]] = {}

    @staticmethod
    def is_wanted(config: Config) -> bool:
        """Return whether there is anything to do."""
        raise NotImplementedError

    @staticmethod
    def lock(state: State) -> Path:
        """Return the file whose lock it holds meanwhile."""
        raise NotImplementedError

    def tell(self, config: Config, app: App, sightings: Sightings) -> None:
        """Do it for one app."""
        raise NotImplementedError

    def run(self) -> None:
        """Look, wait, look again, until `stopping` is set."""
        while not self._stopping.is_set():
            config = self._config()
            for app in config.apps.values() if self.is_wanted(config) else ():
                try:
                    self._tell(config, app)
                except Exception:  # this thread must outlive whatever one app's files hold
                    log.exception("telling.failed", extra={"app": app.name})
            self._stopping.wait(EVERY)

    def _tell(self, config: Config, app: App) -> None:
        state = State.of(config, app)
        with suppress(BusyError), lock.held(self.lock(state), app.name):
            self.tell(config, app, self._seen(app, state))

    def _seen(self, app: App, state: State) -> Sightings:
        """Return what reads the app's deployments, anew when its table was changed."""
        known = self._sightings.get(app.name)
        if known is None or known[0] != app:
            known = app, Sightings(app, state, self._ledger, SystemClock())
            self._sightings[app.name] = known
        return known[1]


class AtGitHub(Teller):
    """Tells GitHub."""

    @staticmethod
    def is_wanted(config: Config) -> bool:
        """Return whether there is a token."""
        return config.github.token_file is not None

    @staticmethod
    def lock(state: State) -> Path:
        """Return the lock of what GitHub was told."""
        return state.telling_lock

    def tell(self, config: Config, app: App, sightings: Sightings) -> None:
        """Tell GitHub what it does not show yet."""
        Telling(config, app, sightings, SystemClock()).tell()


class People(Teller):
    """Tells people."""

    @staticmethod
    def is_wanted(config: Config) -> bool:
        """Return whether anybody is to hear of it."""
        return bool(config.notify.urls)

    @staticmethod
    def lock(state: State) -> Path:
        """Return the lock of what people were told."""
        return state.noticing_lock

    def tell(self, config: Config, app: App, sightings: Sightings) -> None:
        """Tell people what is new."""
        noticing = Noticing(config, app, sightings, SystemClock())
        noticing.notice()
        noticing.send()


KINDS = (AtGitHub, People)
