"""Writes the audit log: each call that changes something, and each that was refused.

Not: what was only read, nor deliveries that were accepted (journals and the log name those),
nor what is over a limit, of which there may be any number.
"""

import logging
from http import HTTPStatus
from typing import Any

from flask import Response, current_app, g, request

from webhook.access import READING, where_from
from worker.audit import Audit
from worker.clock import SystemClock, rfc3339
from worker.tokens import Token

log = logging.getLogger(__name__)

LONGEST = 200  # characters of an address
REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def record(response: Response) -> Response:
    """Record the call, if it is one to record. A full disk is told, and changes no answer."""
    if _is_told(response.status_code):
        refused = response.status_code >= HTTPStatus.BAD_REQUEST
        try:
            audit: Audit = current_app.extensions["audit"]
            audit.add(_record(response), refused=refused)
        except OSError:
            log.exception("audit.failed")
    return response


def _is_told(status: int) -> bool:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return False
    if request.method in READING or (
        request.endpoint == "hooks.github" and status < HTTPStatus.BAD_REQUEST
    ):
        return status in REFUSED
    return True


def _record(response: Response) -> dict[str, Any]:
    token: Token | None = g.get("token")
    named, said = request.view_args or {}, response.get_json(silent=True) or {}
    return {
        "time": rfc3339(SystemClock().now()),
        "token": token.name if token else None,
        "role": token.role if token else None,
        "from": where_from(),
        "verb": request.method,
        "path": request.path[:LONGEST],
        "call": (request.endpoint or "").rpartition(".")[2] or None,
        "app": _cut(named.get("name") or named.get("app")),
        "about": _cut(named.get("deployment") or named.get("backup")),
        "status": response.status_code,
        "made": said.get("deployment") or said.get("request"),
    }


def _cut(text: str | None) -> str | None:
    return text[:LONGEST] if text else None
