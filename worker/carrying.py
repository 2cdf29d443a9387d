"""Carries out what people requested through the API: holds, approvals, stop, start, restart.

Whoever holds the app's lock does so, oldest first, before anything is deployed. Killed in
the middle of one, the next holder does it again: each of them may be done twice. What could
not be done is told until the same is done, and not tried again: by then a person may think
otherwise.
"""

import logging
from dataclasses import dataclass

from worker import configfile
from worker.adapters.engine import Engine
from worker.backups import undone
from worker.clock import Clock, rfc3339
from worker.config import App
from worker.errors import SheetanchorError
from worker.ledger import Ledger
from worker.operations import Operations
from worker.orders import Orders
from worker.requests import CONTAINERS, RESTART, START, STOP, Request, Requests
from worker.state import State

log = logging.getLogger(__name__)

_ACTS = {STOP: Operations.stop, START: Operations.start, RESTART: Operations.restart}


@dataclass(frozen=True)
class Carrying:
    """The requests about one app."""

    app: App
    state: State
    ledger: Ledger | None
    clock: Clock

    def carry_out(self) -> bool:
        """Do what was requested meanwhile, oldest first; return whether there was anything."""
        requests = Requests(self.state.requests)
        asked = requests.all()
        for one in asked:
            try:
                self._do(one)
            except SheetanchorError as error:
                self._refused(one, error)
            requests.done(one)
        return bool(asked)

    def _do(self, asked: Request) -> None:
        if asked.verb in CONTAINERS:
            self._act(asked)
        else:
            Orders(self.app, self.state, self.ledger, self.clock).obey(asked)
        undone.over(self.state.undone_orders, asked.verb)

    def _act(self, asked: Request) -> None:
        """Stop, start or restart the containers."""
        log.info("containers.asked", extra={"app": self.app.name, **_who(asked)})
        redact = configfile.redactor(self.app)

        def say(line: str) -> None:
            log.info("containers.said", extra={"app": self.app.name, "line": redact(line)})

        _ACTS[asked.verb](Operations(self.app, self.state, Engine(), self.clock, asked.by, say))

    def _refused(self, asked: Request, error: SheetanchorError) -> None:
        """Tell why it was not done, in the log and wherever the app is shown."""
        redact = configfile.redactor(self.app)
        why = redact(error.message)
        log.warning("request.refused", extra={"app": self.app.name, **_who(asked), "detail": why})
        failure = {
            "verb": asked.verb,
            "backup": None,
            "at": rfc3339(self.clock.now()),
            "by": asked.by,
            "why": why,
            "remedy": redact(error.remedy),
        }
        undone.noted(self.state.undone_orders, failure)


def _who(asked: Request) -> dict[str, str]:
    return {"verb": asked.verb, "by": asked.by, "request": asked.id}
