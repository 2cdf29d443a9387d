"""/api/v1, thin: parse, one call, answer. `webhook.access` has let the request in."""

import re
from dataclasses import asdict
from typing import Any, Literal

from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue

from webhook.asking import (
    Asked,
    DeploymentId,
    Reason,
    Revision,
    accepted,
    app_named,
    deployment_named,
    intake,
    line,
    parse,
    refuse_unknown_backup,
)
from worker.config import App
from worker.deployment import ID
from worker.errors import NotFoundError, UsageError
from worker.requests import SLOW, Requests
from worker.state import State

bp = Blueprint("api", __name__, url_prefix="/api/v1")

PAGE = 20
LONGEST_PAGE = 100


class Deploy(Asked):
    """`POST apps/<app>/deployments`."""

    revision: Revision | None = None
    force: bool = False
    pull: bool = True
    reason: Reason | None = None


class Rollback(Asked):
    """`POST apps/<app>/rollback`; `confirm` is the app's name, needed to restore data."""

    to: DeploymentId | None = None
    data: Literal["keep", "restore"] = "keep"
    confirm: str | None = None
    reason: Reason | None = None


class Restore(Asked):
    """`POST apps/<app>/backups/<id>/restore`; `confirm` is the app's name."""

    confirm: str | None = None
    only: Literal["mongodb", "uploads", "env"] | None = None
    reason: Reason | None = None


@bp.get("/apps")
def apps() -> ResponseReturnValue:
    """List what runs."""
    return {"apps": [_shown(app) for app in intake().config.apps.values()]}


@bp.get("/apps/<name>")
def app(name: str) -> ResponseReturnValue:
    """Show what runs of one app."""
    return _shown(app_named(name))


@bp.post("/apps/<name>/deployments")
def deploy(name: str) -> ResponseReturnValue:
    """Queue a deployment."""
    app, asked = app_named(name), parse(Deploy)
    if asked.revision and not asked.pull:
        raise UsageError(
            "A revision was asked for without a pull.", remedy="Leave out one of the two."
        )
    return accepted(
        intake().request(
            app.name,
            "deploy",
            by=g.token.name,
            reason=line(asked.reason),
            revision=asked.revision,
            options={"force": asked.force, "pull": asked.pull},
        )
    )


@bp.post("/apps/<name>/rollback")
def rollback(name: str) -> ResponseReturnValue:
    """Queue a manual rollback; with `data: restore` only if the app's name confirms it."""
    app, asked = app_named(name), parse(Rollback)
    if asked.to and deployment_named(asked.to)["app"] != app.name:
        raise NotFoundError(f"{asked.to} is not {app.name}'s.", remedy="Name one of its own.")
    if asked.data == "restore":
        _refuse_unconfirmed(app, asked.confirm)
    return accepted(
        intake().request(
            app.name,
            "rollback",
            by=g.token.name,
            reason=line(asked.reason),
            options={"to": asked.to, "data": asked.data},
        )
    )


@bp.post("/apps/<name>/backups/<backup>/restore")
def restore(name: str, backup: str) -> ResponseReturnValue:
    """Queue a restore; only if the app's name confirms it. The app is stopped for it."""
    app, asked = app_named(name), parse(Restore)
    refuse_unknown_backup(app, backup)
    _refuse_unconfirmed(app, asked.confirm)
    return accepted(
        intake().request(
            app.name,
            "restore",
            by=g.token.name,
            reason=line(asked.reason),
            options={"backup": backup, "only": asked.only},
        )
    )


def _refuse_unconfirmed(app: App, confirm: str | None) -> None:
    if confirm != app.name:
        raise UsageError(
            "Restoring data was not confirmed.", remedy=f'Send "confirm": "{app.name}" with it.'
        )


@bp.get("/apps/<name>/deployments")
def history(name: str) -> ResponseReturnValue:
    """List an app's deployments, newest first."""
    app, before = app_named(name), request.args.get("before")
    if before is not None and not ID.fullmatch(before):
        raise UsageError("before is not a deployment's id.", remedy="Pass the `next` of a page.")
    views, after = intake().ledger.history(app.name, _limit(), before)
    return {"deployments": views, "next": after}


@bp.get("/deployments/<deployment>")
def deployment(deployment: str) -> ResponseReturnValue:
    """Show one deployment."""
    return deployment_named(deployment)


@bp.get("/apps/<name>/backups")
def backups(name: str) -> ResponseReturnValue:
    """List an app's backups."""
    return {"backups": intake().ledger.backups(app_named(name).name)}


def _shown(app: App) -> dict[str, Any]:
    ledger, state = intake().ledger, State.where(intake().config, app)
    asked = [*Requests(state.requests).all(), *Requests(state.slow, SLOW).all()]
    return {
        "app": app.name,
        "repository": app.repository,
        "branch": app.branch,
        **(ledger.app(app.name) or {}),
        "last_deployment": ledger.latest(app.name),
        "requests": [asdict(one) for one in asked],
    }


def _limit() -> int:
    given = request.args.get("limit", str(PAGE))
    if not re.fullmatch("[0-9]{1,3}", given) or not 1 <= int(given) <= LONGEST_PAGE:
        raise UsageError(
            f"limit is not a number from 1 to {LONGEST_PAGE}.", remedy="Ask page by page."
        )
    return int(given)
