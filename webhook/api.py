"""/api/v1, thin: parse, one call, answer. `webhook.access` has let the request in."""

import re
from dataclasses import asdict
from typing import Annotated, Any, Literal

from flask import Blueprint, g
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator, ConfigDict, Field

from webhook import answers
from webhook.answers import Apps, Backups, Deployment, Deployments, Queued
from webhook.asking import (
    Asked,
    DeploymentId,
    Query,
    Reason,
    Revision,
    accepted,
    app_named,
    deployment_named,
    intake,
    line,
    refuse_unknown_backup,
)
from webhook.calls import call
from worker.config import App
from worker.errors import NotFoundError, UsageError
from worker.requests import SLOW, Requests
from worker.state import State

bp = Blueprint("api", __name__, url_prefix="/api/v1")

PAGE = 20
LONGEST_PAGE = 100


def _digits(given: object) -> object:
    """Refuse what Python takes for a number and others do not."""
    if isinstance(given, str) and not re.fullmatch("[0-9]{1,3}", given):
        raise ValueError("should be 1 to 3 digits")
    return given


def _without_default(schema: dict[str, Any]) -> None:
    """Leave out that nothing is the same as an empty text: that is refused."""
    del schema["default"]


Limit = Annotated[int, Field(ge=1, le=LONGEST_PAGE), BeforeValidator(_digits)]


class DeploymentsPage(Query):
    """`?limit=&before=`; `before` is the `next` of the page before."""

    limit: Limit = PAGE
    before: DeploymentId = Field("", json_schema_extra=_without_default)


class BackupsPage(Query):
    """`?limit=&before=`; `before` is the `next` of the page before."""

    limit: Limit = PAGE
    before: str = Field("", min_length=1, max_length=255, json_schema_extra=_without_default)


REVISION_UNPULLED: dict[str, Any] = {
    "required": ["revision", "pull"],
    "properties": {"revision": {"type": "string"}, "pull": {"const": False}},
}
CONFIRMED_TO_RESTORE: dict[str, Any] = {
    "if": {"required": ["data"], "properties": {"data": {"const": "restore"}}},
    "then": {"required": ["confirm"], "properties": {"confirm": {"type": "string"}}},
}


class Deploy(Asked):
    """`POST apps/<app>/deployments`."""

    model_config = ConfigDict(json_schema_extra={"not": REVISION_UNPULLED})

    revision: Revision | None = None
    force: bool = False
    pull: bool = True
    reason: Reason | None = None


class Rollback(Asked):
    """`POST apps/<app>/rollback`; `confirm` is the app's name, needed to restore data."""

    model_config = ConfigDict(json_schema_extra=CONFIRMED_TO_RESTORE)

    to: DeploymentId | None = None
    data: Literal["keep", "restore"] = "keep"
    confirm: str | None = None
    reason: Reason | None = None


class Restore(Asked):
    """`POST apps/<app>/backups/<id>/restore`; `confirm` is the app's name."""

    confirm: str
    only: Literal["mongodb", "uploads", "env"] | None = None
    reason: Reason | None = None


@bp.get("/apps")
@call(gives={200: Apps})
def apps() -> ResponseReturnValue:
    """List what runs."""
    return {"apps": [_shown(app) for app in intake().config.apps.values()]}


@bp.get("/apps/<name>")
@call(gives={200: answers.App})
def app(name: str) -> ResponseReturnValue:
    """Show what runs of one app."""
    return _shown(app_named(name))


@bp.post("/apps/<name>/deployments")
@call(takes=Deploy, gives={202: Queued})
def deploy(name: str, asked: Deploy) -> ResponseReturnValue:
    """Queue a deployment."""
    app = app_named(name)
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
@call(takes=Rollback, gives={202: Queued})
def rollback(name: str, asked: Rollback) -> ResponseReturnValue:
    """Queue a manual rollback; with `data: restore` only if the app's name confirms it."""
    app = app_named(name)
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
@call(takes=Restore, gives={202: Queued})
def restore(name: str, backup: str, asked: Restore) -> ResponseReturnValue:
    """Queue a restore; only if the app's name confirms it. The app is stopped for it."""
    app = app_named(name)
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
@call(query=DeploymentsPage, gives={200: Deployments})
def history(name: str, page: DeploymentsPage) -> ResponseReturnValue:
    """List an app's deployments, newest first."""
    app = app_named(name)
    views, after = intake().ledger.history(app.name, page.limit, page.before or None)
    return {"deployments": views, "next": after}


@bp.get("/deployments/<deployment>")
@call(gives={200: Deployment})
def deployment(deployment: str) -> ResponseReturnValue:
    """Show one deployment."""
    return deployment_named(deployment)


@bp.get("/apps/<name>/backups")
@call(query=BackupsPage, gives={200: Backups})
def backups(name: str, page: BackupsPage) -> ResponseReturnValue:
    """List an app's backups, newest first."""
    there = intake().ledger.backups(app_named(name).name)
    if page.before:
        ids = [one["id"] for one in there]
        if page.before not in ids:
            raise NotFoundError(f"There is no backup {page.before}.", remedy="Start afresh.")
        there = there[ids.index(page.before) + 1 :]
    shown = there[: page.limit]
    return {"backups": shown, "next": shown[-1]["id"] if len(there) > page.limit else None}


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
