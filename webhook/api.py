"""/api/v1, thin: parse, one call, answer. `webhook.access` has let the request in."""

import re
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

from flask import Blueprint, Response, current_app, g, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from webhook import event
from webhook.access import RefusedError, read_body
from webhook.intake import Intake
from worker.config import App
from worker.configfile import app_of
from worker.deployment import ID, REVISION
from worker.errors import NotFoundError, UsageError
from worker.redact import stripped

bp = Blueprint("api", __name__, url_prefix="/api/v1")

MOST = 64 * 1024  # bytes of a request
PAGE = 20
LONGEST_PAGE = 100

Revision = Annotated[str, Field(pattern=REVISION.pattern)]
DeploymentId = Annotated[str, Field(pattern=ID.pattern)]


class Asked(BaseModel):
    """A request's body: exact types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Model = TypeVar("Model", bound=Asked)


class Deploy(Asked):
    """`POST apps/<app>/deployments`."""

    revision: Revision | None = None
    force: bool = False
    pull: bool = True
    reason: Annotated[str, Field(max_length=500)] | None = None


class Rollback(Asked):
    """`POST apps/<app>/rollback`; `confirm` is the app's name, needed to restore data."""

    to: DeploymentId | None = None
    data: Literal["keep", "restore"] = "keep"
    confirm: str | None = None
    reason: Annotated[str, Field(max_length=500)] | None = None


@bp.get("/apps")
def apps() -> ResponseReturnValue:
    """List what runs."""
    return {"apps": [_shown(app) for app in _intake().config.apps.values()]}


@bp.get("/apps/<name>")
def app(name: str) -> ResponseReturnValue:
    """Show what runs of one app."""
    return _shown(_app(name))


@bp.post("/apps/<name>/deployments")
def deploy(name: str) -> ResponseReturnValue:
    """Queue a deployment."""
    app, asked = _app(name), _parse(Deploy)
    if asked.revision and not asked.pull:
        raise UsageError(
            "A revision was asked for without a pull.", remedy="Leave out one of the two."
        )
    return _accepted(
        _intake().request(
            app.name,
            "deploy",
            by=g.token.name,
            reason=_line(asked.reason),
            revision=asked.revision,
            options={"force": asked.force, "pull": asked.pull},
        )
    )


@bp.post("/apps/<name>/rollback")
def rollback(name: str) -> ResponseReturnValue:
    """Queue a manual rollback; with `data: restore` only if the app's name confirms it."""
    app, asked = _app(name), _parse(Rollback)
    if asked.to and _deployment(asked.to)["app"] != app.name:
        raise NotFoundError(f"{asked.to} is not {app.name}'s.", remedy="Name one of its own.")
    if asked.data == "restore" and asked.confirm != app.name:
        raise UsageError(
            "Restoring data was not confirmed.", remedy=f'Send "confirm": "{app.name}" with it.'
        )
    return _accepted(
        _intake().request(
            app.name,
            "rollback",
            by=g.token.name,
            reason=_line(asked.reason),
            options={"to": asked.to, "data": asked.data},
        )
    )


@bp.get("/apps/<name>/deployments")
def history(name: str) -> ResponseReturnValue:
    """List an app's deployments, newest first."""
    app, before = _app(name), request.args.get("before")
    if before is not None and not ID.fullmatch(before):
        raise UsageError("before is not a deployment's id.", remedy="Pass the `next` of a page.")
    views, after = _intake().ledger.history(app.name, _limit(), before)
    return {"deployments": views, "next": after}


@bp.get("/deployments/<deployment>")
def deployment(deployment: str) -> ResponseReturnValue:
    """Show one deployment."""
    return _deployment(deployment)


@bp.get("/deployments/<deployment>/log")
def deployment_log(deployment: str) -> ResponseReturnValue:
    """Show a deployment's log: text, never to be taken for a page."""
    known = _deployment(deployment)
    return Response(_intake().ledger.log(known["id"]), content_type="text/plain; charset=utf-8")


@bp.get("/apps/<name>/backups")
def backups(name: str) -> ResponseReturnValue:
    """List an app's backups."""
    return {"backups": _intake().ledger.backups(_app(name).name)}


def _intake() -> Intake:
    intake: Intake = current_app.extensions["intake"]
    return intake


def _app(name: str) -> App:
    return app_of(_intake().config, name)


def _deployment(deployment_id: str) -> dict[str, Any]:
    found = _intake().ledger.get(deployment_id) if ID.fullmatch(deployment_id) else None
    if found is None:
        raise NotFoundError(
            "There is no such deployment.", remedy="List them: apps/APP/deployments."
        )
    return found


def _shown(app: App) -> dict[str, Any]:
    ledger = _intake().ledger
    return {
        "app": app.name,
        "repository": app.repository,
        "branch": app.branch,
        **(ledger.app(app.name) or {}),
        "last_deployment": ledger.latest(app.name),
    }


def _parse(model: type[Model]) -> Model:
    """Return the body as the model; no body is the same as {}. Refuses with 400 or 415."""
    body = read_body(MOST)
    if body and request.mimetype != "application/json":
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "The body is not application/json.",
            "Say `Content-Type: application/json`.",
        )
    try:
        return model.model_validate(event.load(body) if body else {})
    except event.MalformedError as error:
        raise UsageError(str(error), remedy="Send a JSON object.") from error
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, at['loc']))}: {at['msg']}" for at in error.errors()]
        keys = ", ".join(model.model_fields)
        raise UsageError(stripped("; ".join(faults)), remedy=f"The keys are {keys}.") from error


def _limit() -> int:
    given = request.args.get("limit", str(PAGE))
    if not re.fullmatch("[0-9]{1,3}", given) or not 1 <= int(given) <= LONGEST_PAGE:
        raise UsageError(
            f"limit is not a number from 1 to {LONGEST_PAGE}.", remedy="Ask page by page."
        )
    return int(given)


def _line(text: str | None) -> str | None:
    return stripped(text).strip() or None if text else None


def _accepted(deployment_id: str) -> ResponseReturnValue:
    where = url_for("api.deployment", deployment=deployment_id)
    answer = {"status": "queued", "deployment": deployment_id}
    return answer, HTTPStatus.ACCEPTED, {"Location": where}
