"""What a person orders of a deployment, or of an app's holds, through the API.

This process may take no lock, so it writes fsynced files that a worker acts on as
soon as nobody else works on the app: they count also if Redis then loses all.
"""

import logging
from contextlib import suppress
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from flask import Blueprint, g, url_for
from flask.typing import ResponseReturnValue

from webhook.answers import Cancelled, Cancelling, Left, Queued
from webhook.asking import Asked, Reason, accepted, app_named, deployment_named, intake, line
from webhook.calls import call
from worker.cancels import Cancel, Cancels
from worker.clock import rfc3339
from worker.config import App
from worker.deployment import Deployment, Status, new_id, refused_for
from worker.errors import EndedError, NotFoundError, UnavailableError, UsageError
from worker.holds import refuse_inconsistent, refuse_lost_data
from worker.requests import (
    APPROVE,
    FREEZE,
    RESTART,
    RESUME,
    START,
    STOP,
    UNFREEZE,
    Request,
    Requests,
)
from worker.state import State

log = logging.getLogger(__name__)
bp = Blueprint("orders", __name__, url_prefix="/api/v1")


class Why(Asked):
    """A body that may say why."""

    reason: Reason | None = None


@bp.post("/deployments/<deployment>/cancel")
@call(takes=Why, gives={200: Cancelled, 202: Cancelling}, may=(409,))
def cancel(deployment: str, asked: Why) -> ResponseReturnValue:
    """Cancel a deployment before its fence; later 409, and nothing is changed."""
    shown = deployment_named(deployment)
    if shown["status"] == Status.CANCELLED:
        return {"status": shown["status"], "deployment": deployment}
    if Status(shown["status"]).final:
        raise EndedError(
            f"The deployment has ended: {shown['status']}.", remedy="Look at its log, or roll back."
        )
    found = intake()
    order, at = _order(deployment), rfc3339(found.clock.now())
    wish = Cancel(order, by=g.token.name, at=at, reason=line(asked.reason))
    state = State.where(found.config, app_named(order.app))
    first = Cancels(state.cancels).ask(wish)
    log.info(
        "deployment.cancelled",
        extra={"app": order.app, "deployment": deployment, "by": wish.by, "reason": wish.reason},
    )
    found.ring(order.app, deployment)
    answer = {"status": "accepted", "deployment": deployment, "by": first.by, "at": first.at}
    where = url_for("api.deployment", deployment=deployment)
    return answer, HTTPStatus.ACCEPTED, {"Location": where}


@bp.post("/deployments/<deployment>/approve")
@call(takes=Why, gives={202: Queued}, may=(409,))
def approve(deployment: str, asked: Why) -> ResponseReturnValue:
    """Approve the new privileges, or the lost mounts, of a refused revision; queue it anew."""
    shown, order = deployment_named(deployment), _order(deployment)
    try:
        what = refused_for(shown)
    except UsageError as error:  # asked rightly, of one that is not so
        raise EndedError(error.message, remedy=error.remedy) from error
    _leave(app_named(order.app), APPROVE, line(asked.reason), deployment)
    return accepted(
        intake().request(
            order.app,
            order.kind,
            by=g.token.name,
            reason=f"approved {what} of {deployment}",
            revision=order.wanted,
            options=order.options,
        )
    )


@bp.post("/apps/<name>/freeze")
@call(takes=Why, gives={202: Left}, may=(409,))
def freeze(name: str, asked: Why) -> ResponseReturnValue:
    """Have nothing of the app deployed by itself, from the end of what runs on."""
    return _hold(name, FREEZE, asked)


@bp.post("/apps/<name>/unfreeze")
@call(takes=Why, gives={202: Left}, may=(409,))
def unfreeze(name: str, asked: Why) -> ResponseReturnValue:
    """End the freeze; the branch's head is deployed if nothing was decided about it."""
    return _hold(name, UNFREEZE, asked)


@bp.post("/apps/<name>/resume")
@call(takes=Why, gives={202: Left}, may=(409,))
def resume(name: str, asked: Why) -> ResponseReturnValue:
    """Go on from `inconsistent`, once its cause is mended: finish the way back.

    Where that did not get to the data, only with a `reason`: then the data is right as it is.
    """
    return _hold(name, RESUME, asked)


@bp.post("/apps/<name>/stop")
@call(takes=Why, gives={202: Left})
def stop(name: str, asked: Why) -> ResponseReturnValue:
    """Stop the app's containers; it is not deployed by itself until a newer head arrives."""
    return _order_containers(name, STOP, asked)


@bp.post("/apps/<name>/start")
@call(takes=Why, gives={202: Left})
def start(name: str, asked: Why) -> ResponseReturnValue:
    """Start the running release's containers again; ends the hold of a stop."""
    return _order_containers(name, START, asked)


@bp.post("/apps/<name>/restart")
@call(takes=Why, gives={202: Left})
def restart(name: str, asked: Why) -> ResponseReturnValue:
    """Stop and start the app's containers."""
    return _order_containers(name, RESTART, asked)


def _order_containers(name: str, verb: str, asked: Why) -> ResponseReturnValue:
    app = app_named(name)
    return _left(_leave(app, verb, line(asked.reason)), app)


def _hold(name: str, verb: str, asked: Why) -> ResponseReturnValue:
    """Leave a request about the app's hold: it is under `requests` until it is carried out."""
    app = app_named(name)
    held: dict[str, Any] = {}
    with suppress(UnavailableError):  # without Redis it is asked all the same
        held = (intake().ledger.app(app.name) or {}).get("hold") or {}
    reason = line(asked.reason)
    if verb == RESUME:
        refuse_lost_data(app.name, held, reason)
    else:
        refuse_inconsistent(app.name, held)
    return _left(_leave(app, verb, reason), app)


def _left(request: Request, app: App) -> ResponseReturnValue:
    """Answer that it was asked for: the app shows it among its `requests` until it is done."""
    answer = {"status": "accepted", "app": app.name, "request": request.id}
    return answer, HTTPStatus.ACCEPTED, {"Location": url_for("api.app", name=app.name)}


def _leave(app: App, verb: str, reason: str | None, deployment: str | None = None) -> Request:
    found = intake()
    now = found.clock.now()
    request = Request(
        id=new_id(now),
        verb=verb,
        by=g.token.name,
        at=rfc3339(now),
        reason=reason,
        deployment=deployment,
    )
    Requests(State.where(found.config, app).requests).leave(request)
    log.info("request.left", extra={"app": app.name, **asdict(request)})
    found.ring(app.name, request.id)
    return request


def _order(deployment: str) -> Deployment:
    order = intake().ledger.order(deployment)
    if order is None:
        raise NotFoundError(
            "The deployment is from before what is kept here.", remedy="Name a newer one."
        )
    return order
