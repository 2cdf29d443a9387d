"""Slow work that a person asks for through the API: on disk before it is answered.

This process may take no lock, so it writes a fsynced file that the slow worker acts on:
it counts also if Redis then loses all.
"""

import logging
from contextlib import suppress
from dataclasses import asdict
from http import HTTPStatus

from flask import Blueprint, g, url_for
from flask.typing import ResponseReturnValue

from webhook.asking import Asked, app_named, intake, parse
from worker.clock import rfc3339
from worker.config import App
from worker.deployment import new_id
from worker.errors import NotFoundError, UnavailableError
from worker.formats import BACKUP_ID
from worker.requests import SLOW, VERIFY, Request, Requests
from worker.state import State

log = logging.getLogger(__name__)
bp = Blueprint("slow", __name__, url_prefix="/api/v1")


class Nothing(Asked):
    """A body that says nothing more."""


@bp.post("/apps/<name>/backups/<backup>/verify")
def verify(name: str, backup: str) -> ResponseReturnValue:
    """Have a backup read back, every byte; the list of backups then shows the result."""
    app = app_named(name)
    parse(Nothing)
    _refuse_unknown(app, backup)
    request = _leave(app, VERIFY, backup)
    answer = {"status": "accepted", "app": app.name, "backup": backup, "request": request.id}
    where = url_for("api.backups", name=app.name)
    return answer, HTTPStatus.ACCEPTED, {"Location": where}


def _refuse_unknown(app: App, backup: str) -> None:
    """Raise NotFoundError for a backup that is not listed; without Redis none is known."""
    known = bool(BACKUP_ID.fullmatch(backup))
    with suppress(UnavailableError):
        known = known and backup in [one["id"] for one in intake().ledger.backups(app.name)]
    if not known:
        raise NotFoundError(
            "The app has no such backup.", remedy=f"List them: apps/{app.name}/backups."
        )


def _leave(app: App, verb: str, backup: str | None) -> Request:
    """Leave the request, on disk when this returns; what waits already is not asked twice."""
    found = intake()
    now = found.clock.now()
    asked = Request(id=new_id(now), verb=verb, by=g.token.name, at=rfc3339(now), backup=backup)
    requests = Requests(State.where(found.config, app).slow, SLOW)
    if waiting := requests.same(asked):
        asked = waiting
    else:
        requests.leave(asked)
        log.info("request.left", extra={"app": app.name, **asdict(asked)})
    found.ring(app.name, asked.id, slow=True)
    return asked
