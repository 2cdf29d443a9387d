"""POST /hooks/github/<app>, and whether we are alive and ready.

In this order: size, signature, content type, JSON, event. Nothing is parsed
before the signature holds, and until then every refusal is the same 401.
"""

import logging
from http import HTTPStatus

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue

from webhook import event
from webhook.access import RefusedError, failed, read_body, where_from
from webhook.answers import Alive, Duplicate, Ignored, Noted, Pong, Queued, Ready
from webhook.calls import call
from webhook.intake import Intake
from webhook.problems import problem
from webhook.signature import Keyring
from worker.ci import Result
from worker.errors import UnavailableError
from worker.ledger import check
from worker.reserve import judge_disk

log = logging.getLogger(__name__)
bp = Blueprint("hooks", __name__)

MOST = 25 * 1024 * 1024  # bytes; GitHub sends nothing larger


PAYLOAD = {"schema": {"type": "object"}}
FORM = {"schema": {"type": "object", "properties": {"payload": {"type": "string"}}}}
HEADERS = tuple(
    {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
    for name in ("X-Hub-Signature-256", "X-GitHub-Event", "X-GitHub-Delivery")
)


@bp.post("/hooks/github/<app>")
@call(
    gives={200: (Pong, Ignored, Duplicate, Noted), 202: Queued},
    sends={"application/json": PAYLOAD, "application/x-www-form-urlencoded": FORM},
    headers=HEADERS,
)
def github(app: str) -> ResponseReturnValue:
    """Answer a delivery, in milliseconds: GitHub waits 10 s and never tries again by itself."""
    body = read_body(MOST)
    _verify(app, body)
    guid = _guid()
    intake: Intake = current_app.extensions["intake"]
    try:
        payload = event.load(_json(body))
        found = event.judge(
            request.headers.get("X-GitHub-Event", ""), payload, intake.config.apps[app]
        )
    except event.MalformedError as error:
        return problem(HTTPStatus.BAD_REQUEST, str(error), "Send what GitHub sends.")
    if isinstance(found, event.Push):
        return _queue(intake, app, found, guid)
    if isinstance(found, Result):
        return _note(intake, app, found, guid)
    return _nothing_to_do(app, guid, found)


@bp.get("/healthz")
@call(gives={200: Alive})
def healthz() -> ResponseReturnValue:
    """Say that this process answers."""
    return {"status": "alive"}


@bp.get("/readyz")
@call(gives={200: Ready})
def readyz() -> ResponseReturnValue:
    """Say whether a delivery would be stored safely and acted on; 503 if not."""
    intake: Intake = current_app.extensions["intake"]
    judge_disk(intake.config.server.state_dir)
    check(intake.redis)
    if not intake.ledger.worker_listening():
        raise UnavailableError("No worker listens on this host.", remedy="Start one.")
    return {"status": "ready"}


def _verify(app: str, body: bytes) -> None:
    """End the request with 401 unless the signature holds; the same for an unknown app."""
    keyring: Keyring = current_app.extensions["keyring"]
    header = request.headers.get("X-Hub-Signature-256")
    given = header.encode("latin-1", errors="replace") if header is not None else None
    if not keyring.signed(app, body, given):
        refusal = failed(
            "The signature does not match.",
            "Set the same secret at GitHub and in webhook_secret_file.",
        )
        if refusal.code == HTTPStatus.UNAUTHORIZED:  # of a flood the first few are told
            log.warning("delivery.refused", extra={"app": app, "remote": where_from()})
        raise refusal


def _guid() -> str:
    guid = request.headers.get("X-GitHub-Delivery", "")
    if not event.GUID.fullmatch(guid):
        raise RefusedError(
            HTTPStatus.BAD_REQUEST,
            "X-GitHub-Delivery is not a GUID.",
            "Send one, a new one for each delivery.",
        )
    return guid


def _json(body: bytes) -> bytes:
    """Return the body's JSON, of either content type that GitHub offers; 415 for others."""
    if not request.content_encoding:
        if request.mimetype == "application/json":
            return body
        if request.mimetype == "application/x-www-form-urlencoded":
            return event.of_form(body)
    raise RefusedError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "The body is neither application/json nor application/x-www-form-urlencoded.",
        "Choose the content type application/json at GitHub.",
    )


def _queue(intake: Intake, app: str, push: event.Push, guid: str) -> ResponseReturnValue:
    deployment, is_new = intake.push(app, push, guid)
    if is_new:
        return {"status": "queued", "deployment": deployment}, HTTPStatus.ACCEPTED
    log.info("delivery.repeated", extra={"app": app, "delivery": guid, "deployment": deployment})
    return {"status": "duplicate", "deployment": deployment}


def _note(intake: Intake, app: str, result: Result, guid: str) -> ResponseReturnValue:
    intake.note(app, result)
    extra = {"revision": result.revision, "workflow": result.name, "conclusion": result.conclusion}
    log.info("ci.noted", extra={"app": app, "delivery": guid, **extra})
    return {"status": "noted", "revision": result.revision}


def _nothing_to_do(app: str, guid: str, found: event.Pong | event.Ignored) -> ResponseReturnValue:
    if isinstance(found, event.Pong):
        log.info("ping.answered", extra={"app": app, "delivery": guid})
        return {"status": "pong"}
    log.info("delivery.ignored", extra={"app": app, "delivery": guid, "reason": found.reason})
    return {"status": "ignored", "reason": found.reason}
