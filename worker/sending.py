"""Sends out what each good backup calls for: its copies, and the ping.

The newest verified backup goes to every target that lacks it, once no deployment is at
work, and the dead-man's address is told. Nothing here fails or holds up anything: what
did not go out is recorded, shown, and tried again after a pause.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from worker import heartbeat, targets
from worker.adapters import http
from worker.backups import catalogue
from worker.config import App
from worker.errors import SheetanchorError, UnavailableError
from worker.jobs import Runner
from worker.offsite import Offsite
from worker.outgoing import PING, Outgoing

PING_WITHIN = 10.0  # seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sending:
    """What one app has to send; its caller holds the app's slow lock."""

    runner: Runner

    def due(self) -> list[str]:
        """Return where the newest verified backup is to go now."""
        return self._outgoing.due(newest(self.runner.app))

    def begin(self, name: str) -> Callable[[], None]:
        """Note that it begins; return what takes that back."""
        before = self._outgoing.begin(name)
        return lambda: self._outgoing.put_back(name, before)

    def send(self, name: str) -> None:
        """Send it; a failure is recorded and told, and raised to nobody."""
        if name == PING:
            self._ping()
            return
        with suppress(SheetanchorError):  # it is recorded
            Offsite(self.runner).push(targets.parse(name))

    def _ping(self) -> None:
        """Tell the address that the newest backup is good."""
        app, backup = self.runner.app, newest(self.runner.app)
        try:
            _tell(app.backup.ping_url or "")
        except SheetanchorError as error:
            self._outgoing.failed(PING, backup, error.message, error.remedy)
            log.warning("ping.failed", extra={"app": app.name, "why": error.message})
        else:
            self._outgoing.sent(PING, backup or "")
            log.info("ping.sent", extra={"app": app.name, "backup": backup})
        self.runner.show()

    @property
    def _outgoing(self) -> Outgoing:
        runner = self.runner
        return Outgoing.of(runner.app, runner.state, runner.clock)


def _tell(named: str) -> None:
    """Ask for the address once. Raises UnavailableError and ConfigError, without its secret."""
    url = heartbeat.address(named)
    status = http.status(url, timeout=PING_WITHIN)
    if status is None or not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        how = f"was answered {status}" if status else f"got no answer in {PING_WITHIN:g} s"
        raise UnavailableError(
            f"The ping to {heartbeat.public_part(url)} {how}.",
            remedy="See that ping_url is right and this host may reach it.",
        )


def newest(app: App) -> str | None:
    """Return the newest verified backup that is no safety backup; None without one."""
    there = catalogue.backups(app.backup_dir, app.name)
    found = catalogue.newest_verified([one for one in there if one.kind != "safety"])
    return found.id if found else None
