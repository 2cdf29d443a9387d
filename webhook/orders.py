"""What a person orders of a deployment, or of an app's holds, through the API.

This process may take no lock, so it writes fsynced files that a worker acts on as
soon as nobody else works on the app: they count also if Redis then loses all.
"""

import logging
from http import HTTPStatus

from flask import Blueprint, g
from flask.typing import ResponseReturnValue

from webhook.asking import Asked, Reason, app_named, deployment_named, intake, line, parse
from worker.cancels import Cancel, Cancels
from worker.clock import rfc3339
from worker.deployment import Deployment, Status
from worker.errors import EndedError, NotFoundError
from worker.state import State

log = logging.getLogger(__name__)
bp = Blueprint("orders", __name__, url_prefix="/api/v1")


class Why(Asked):
    """A body that may say why."""

    reason: Reason | None = None


@bp.post("/deployments/<deployment>/cancel")
def cancel(deployment: str) -> ResponseReturnValue:
    """Cancel a deployment before its fence; later 409, and nothing is changed."""
    asked, shown = parse(Why), deployment_named(deployment)
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
    return answer, HTTPStatus.ACCEPTED


def _order(deployment: str) -> Deployment:
    order = intake().ledger.order(deployment)
    if order is None:
        raise NotFoundError(
            "The deployment is from before what is kept here.", remedy="Name a newer one."
        )
    return order
