"""Who may come in, and how much they may bring.

Default-deny: a path is open only if it is named here; any other needs a token,
also one that does not exist. A token comes in a header only: addresses end up
in logs.

Restores and rollbacks need `deploy` as any deployment does, not `admin`: a safety backup is
made before, the app's name confirms that data is overwritten, and the audit log says who.
Only what gives new power over the host needs an `admin`.
"""

import math
from collections.abc import Callable
from http import HTTPStatus
from typing import IO

import gevent  # it ships no types
from flask import current_app, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from webhook.address import Networks, come_from, neighbourhood
from webhook.limits import Limits
from worker.tokens import Role, Token, Tokens

OPEN = frozenset({"hooks.github", "hooks.healthz", "hooks.readyz"})
ADMINS = frozenset({"orders.approve"})  # new power over the host
READING = frozenset({"GET", "HEAD"})
QUERY_TOKENS = frozenset({"token", "access_token", "api_key"})
BODY_SECONDS = 10  # for all of a body; GitHub has given up by then


class RefusedError(HTTPException):
    """Ends the request; `webhook.problems` answers with its status, detail and remedy."""

    def __init__(
        self, status: HTTPStatus, detail: str, remedy: str, retry_after: float = 0.0
    ) -> None:
        super().__init__(detail)
        self.code, self.remedy, self.retry_after = int(status), remedy, retry_after


def let_in() -> None:
    """Refuse the request unless its path is open or its token may do this.

    The token is in `g.token` afterwards, for the audit log.
    """
    if request.endpoint in OPEN:
        return
    if QUERY_TOKENS & request.args.keys():
        raise RefusedError(
            HTTPStatus.BAD_REQUEST,
            "A token was in the address, where logs keep it.",
            "Revoke it, and send the new one as `Authorization: Bearer TOKEN`.",
        )
    token = _token()
    if token is None:
        raise failed(
            "No valid token was sent.",
            "Send `Authorization: Bearer TOKEN`; `sheetanchor token create` makes one.",
        )
    g.token = token
    if isinstance(request.routing_exception, MethodNotAllowed):
        return  # who may come in is told which methods there are
    role = needed(request.endpoint, request.method)
    if not token.role.covers(role):
        raise RefusedError(
            HTTPStatus.FORBIDDEN,
            f"The token {token.name} has the role {token.role}; this needs {role}.",
            "Use another token.",
        )


def failed(detail: str, remedy: str) -> RefusedError:
    """Return the refusal of a wrong token or signature: 401, or 429 for one of too many."""
    address = where_from()
    limits: Limits = current_app.extensions["limits"]
    key = neighbourhood(address)
    if left := limits.failures.left(key):
        return too_many(f"Too many requests from {address} were refused.", left)
    if address:  # who comes through a Unix socket has none
        limits.failures.count(key)
    return RefusedError(HTTPStatus.UNAUTHORIZED, detail, remedy)


def too_many(detail: str, seconds: float) -> RefusedError:
    """Return the refusal of what is over a limit, for so many seconds more."""
    remedy = f"Wait for {math.ceil(seconds)} s."
    return RefusedError(HTTPStatus.TOO_MANY_REQUESTS, detail, remedy, seconds)


def where_from() -> str:
    """Return the address that this request comes from, as far as it can be believed."""
    trusted: Networks = current_app.extensions["trusted"]
    return come_from(request.remote_addr or "", request.headers.get("X-Forwarded-For", ""), trusted)


def needed(endpoint: str | None, method: str) -> Role:
    """Return the role that a call needs, unless it is open."""
    if endpoint in ADMINS:
        return Role.ADMIN
    return Role.READ if method in READING else Role.DEPLOY


def standing() -> Callable[[], bool]:
    """Return what says whether this request's token is still valid: a stream may outlive it."""
    tokens: Tokens = current_app.extensions["tokens"]
    sent = _sent()
    return lambda: sent is not None and tokens.check(sent) is not None


def read_body(most: int) -> bytes:
    """Return the body; refuse one over `most` bytes (413) or too slow (408).

    The stream is read here because gunicorn and Werkzeug cut a chunked body at
    the limit and pass on what is left, with no error (measured).
    """
    length = request.content_length
    if length is not None and length > most:
        raise _too_large(most)
    stream: IO[bytes] = request.environ["wsgi.input"]
    body = None
    with gevent.Timeout(BODY_SECONDS, False):
        body = stream.read(most + 1 if length is None and _has_body() else length or 0)
    if body is None:
        raise RefusedError(
            HTTPStatus.REQUEST_TIMEOUT, "The body came too slowly.", "Send it again."
        )
    if len(body) > most:
        raise _too_large(most)
    return body


def _token() -> Token | None:
    tokens: Tokens = current_app.extensions["tokens"]
    sent = _sent()
    return tokens.check(sent) if sent else None


def _sent() -> str | None:
    """Return the token that was sent, valid or not."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _has_body() -> bool:
    """Return whether a body without a length comes: only chunked, which gunicorn ends."""
    return bool(request.environ.get("wsgi.input_terminated"))


def _too_large(most: int) -> RefusedError:
    return RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is over {most} bytes.", "Send less of it."
    )
