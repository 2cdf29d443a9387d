"""What a request asks for: its body, and the app or deployment that its address names."""

from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from flask import current_app, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from webhook import event
from webhook.access import RefusedError, read_body
from webhook.intake import Intake
from worker.config import App
from worker.configfile import app_of
from worker.deployment import ID, REVISION
from worker.errors import NotFoundError, UnavailableError, UsageError
from worker.formats import BACKUP_ID
from worker.redact import stripped

MOST = 64 * 1024  # bytes of a request

Reason = Annotated[str, Field(max_length=500)]
Revision = Annotated[str, Field(pattern=REVISION.pattern)]
DeploymentId = Annotated[str, Field(pattern=ID.pattern)]


class Asked(BaseModel):
    """A request's body: exact types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Query(BaseModel):
    """What may follow the `?`: nothing twice, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=BaseModel)


def intake() -> Intake:
    """Return what queues and shows deployments."""
    found: Intake = current_app.extensions["intake"]
    return found


def app_named(name: str) -> App:
    """Return the app of that name. Raises NotFoundError."""
    return app_of(intake().config, name)


def deployment_named(deployment_id: str) -> dict[str, Any]:
    """Return the deployment of that id, as people see it. Raises NotFoundError."""
    found = intake().ledger.get(deployment_id) if ID.fullmatch(deployment_id) else None
    if found is None:
        raise NotFoundError(
            "There is no such deployment.", remedy="List them: apps/APP/deployments."
        )
    return found


def refuse_unknown_backup(app: App, backup: str) -> None:
    """Raise NotFoundError for a backup that is not listed; without Redis none is known."""
    known = bool(BACKUP_ID.fullmatch(backup))
    with suppress(UnavailableError):
        known = known and backup in [one["id"] for one in intake().ledger.backups(app.name)]
    if not known:
        raise NotFoundError(
            "The app has no such backup.", remedy=f"List them: apps/{app.name}/backups."
        )


def parse(model: type[Model]) -> Model:
    """Return the body as the model; no body is the same as {}. Refuses with 400 or 415."""
    body = read_body(MOST)
    if body and request.mimetype != "application/json":
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "The body is not application/json.",
            "Say `Content-Type: application/json`.",
        )
    try:
        return _valid(model, event.load(body) if body else {})
    except event.MalformedError as error:
        raise UsageError(str(error), remedy="Send a JSON object.") from error


def parse_query(model: type[Model]) -> Model:
    """Return what follows the `?` as the model. Raises UsageError."""
    if repeated := [key for key, values in request.args.lists() if len(values) > 1]:
        raise UsageError(
            f"{stripped(', '.join(repeated))} was given twice.", remedy="Give it once."
        )
    return _valid(model, request.args.to_dict())


def _valid(model: type[Model], given: object) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, at['loc']))}: {at['msg']}" for at in error.errors()]
        keys = ", ".join(model.model_fields)
        raise UsageError(stripped("; ".join(faults)), remedy=f"The keys are {keys}.") from error


def line(text: str | None) -> str | None:
    """Return a text as one line without control characters; None when nothing is left."""
    return stripped(text).strip() or None if text else None


def accepted(deployment_id: str) -> ResponseReturnValue:
    """Answer that a deployment was queued, and where it is shown."""
    where = url_for("api.deployment", deployment=deployment_id)
    answer = {"status": "queued", "deployment": deployment_id}
    return answer, HTTPStatus.ACCEPTED, {"Location": where}
