"""Errors as `application/problem+json` (RFC 9457): what happened, and what to do."""

import json
import logging
import math
from http import HTTPStatus

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from worker.errors import (
    BusyError,
    ConfigError,
    EndedError,
    FullError,
    HeldError,
    NotFoundError,
    SheetanchorError,
    UnavailableError,
    UsageError,
)

log = logging.getLogger(__name__)

RETRY_AFTER = 30  # seconds

_STATUS = {
    NotFoundError: HTTPStatus.NOT_FOUND,
    UsageError: HTTPStatus.BAD_REQUEST,
    EndedError: HTTPStatus.CONFLICT,
    BusyError: HTTPStatus.CONFLICT,
    HeldError: HTTPStatus.CONFLICT,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    FullError: HTTPStatus.SERVICE_UNAVAILABLE,
    ConfigError: HTTPStatus.SERVICE_UNAVAILABLE,  # until a person has mended it
}


def problem(status: HTTPStatus, detail: str, remedy: str) -> Response:
    """Return the answer."""
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "remedy": remedy,
    }
    response = Response(json.dumps(body), status, content_type="application/problem+json")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def register(app: Flask) -> None:
    """Answer every error with a problem, never with a page or a traceback."""
    app.register_error_handler(SheetanchorError, _ours)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)


def _ours(error: SheetanchorError) -> Response:
    status = _STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request.failed", extra={"detail": error.message})
    return problem(status, error.message, error.remedy)


def _http(error: HTTPException) -> Response:
    """Answer what Flask or `webhook.access` raised; the latter says what to do."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    remedy = getattr(error, "remedy", "Look at the list of calls in the README.")
    answer = problem(status, error.description or status.phrase, remedy)
    if after := getattr(error, "retry_after", 0.0):
        answer.headers["Retry-After"] = str(math.ceil(after))
    answer.headers.extend((name, to) for name, to in error.get_headers() if name == "Allow")
    return answer


def _unforeseen(error: Exception) -> Response:
    log.error("request.crashed", exc_info=error)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Something went wrong here that nobody foresaw.",
        "Look for request.crashed in the log of the web process.",
    )
