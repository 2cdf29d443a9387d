"""Slow work that a person asks for through the API: on disk before it is answered.

This process may take no lock, so it writes a fsynced file that the slow worker acts on:
it counts also if Redis then loses all.
"""

import logging
from dataclasses import asdict
from http import HTTPStatus

from flask import Blueprint, g, url_for
from flask.typing import ResponseReturnValue

from webhook.answers import Left, LeftForBackup
from webhook.asking import Asked, app_named, intake, refuse_unknown_backup
from webhook.calls import call
from worker.clock import rfc3339
from worker.config import App
from worker.deployment import new_id
from worker.requests import BACKUP, SLOW, VERIFY, Request, Requests
from worker.state import State

log = logging.getLogger(__name__)
bp = Blueprint("slow", __name__, url_prefix="/api/v1")


class Nothing(Asked):
    """A body that says nothing more."""


@bp.post("/apps/<name>/backups")
@call(takes=Nothing, gives={202: Left})
def back_up(name: str, asked: Nothing) -> ResponseReturnValue:
    """Have a backup made as soon as nobody works on the app; the list then shows it."""
    del asked
    app = app_named(name)
    request = _leave(app, BACKUP, None)
    answer = {"status": "accepted", "app": app.name, "request": request.id}
    where = url_for("api.backups", name=app.name)
    return answer, HTTPStatus.ACCEPTED, {"Location": where}


@bp.post("/apps/<name>/backups/<backup>/verify")
@call(takes=Nothing, gives={202: LeftForBackup})
def verify(name: str, backup: str, asked: Nothing) -> ResponseReturnValue:
    """Have a backup read back, every byte; the list of backups then shows the result."""
    del asked
    app = app_named(name)
    refuse_unknown_backup(app, backup)
    request = _leave(app, VERIFY, backup)
    answer = {"status": "accepted", "app": app.name, "backup": backup, "request": request.id}
    where = url_for("api.backups", name=app.name)
    return answer, HTTPStatus.ACCEPTED, {"Location": where}


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
