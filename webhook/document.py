"""GET /api/openapi.json: the OpenAPI 3.1 document of all calls, made of the calls themselves.

The paths are the URL map's, the roles `webhook.access`', the shapes the models that parse the
bodies and name the answers. (flask-openapi3 was looked at: it reads bodies by itself, without
our limits of size and time, and takes repeated keys.)
"""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from importlib.metadata import version
from inspect import getdoc
from typing import Any

from apispec import APISpec
from flask import Blueprint, Flask, current_app
from flask.typing import ResponseReturnValue
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from webhook.access import OPEN, needed
from webhook.answers import Problem
from webhook.calls import Call, Gives, call, call_of
from worker.deployment import ID
from worker.formats import APP_NAME, BACKUP_ID

bp = Blueprint("document", __name__)

JSON = "application/json"
REF = "#/components/schemas/{model}"
NAMED = {"app": APP_NAME, "name": APP_NAME, "deployment": ID, "backup": BACKUP_ID}
WITH_BODY = (400, 408, 413, 415)
Json = dict[str, Any]


@bp.get("/api/openapi.json")
@call(gives={200: {JSON: {"schema": {"type": "object"}}}})
def openapi() -> ResponseReturnValue:
    """Show this document."""
    return document(current_app)


def document(app: Flask) -> Json:
    """Return the document of an app's calls."""
    spec = APISpec("sheetanchor", version("sheetanchor"), "3.1.0", info={"description": ABOUT})
    spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    rules = sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)
    for name, schema in _schemas([call_of(app.view_functions[one.endpoint]) for one in rules]):
        spec.components.schema(name, schema)
    for rule in rules:
        view = app.view_functions[rule.endpoint]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            operation = _operation(rule, method, getdoc(view) or "", call_of(view))
            path = re.sub("<(.+?)>", r"{\1}", rule.rule)
            spec.path(path, operations={method.lower(): operation})
    found: Json = spec.to_dict()
    return found


ABOUT = (
    "Deploys, rolls back, backs up and restores Dockerised apps on their own server. Errors are"
    " problems (RFC 9457) that say what to do. A token is made by `sheetanchor token create NAME"
    " --role read|deploy|admin`; the role that a call needs stands beside its security scheme."
)


def _schemas(calls: list[Call]) -> Iterator[tuple[str, Json]]:
    """Yield each model's schema once, under its name."""
    takes = [(one.takes, "validation") for one in calls if one.takes]
    answers = {model for one in calls for gives in one.gives.values() for model in _models(gives)}
    gives = [(model, "serialization") for model in {Problem, *answers}]
    modes: Any = sorted({*takes, *gives}, key=lambda one: one[0].__name__)
    _, made = models_json_schema(modes, ref_template=REF)
    yield from sorted(made["$defs"].items())


def _models(gives: Gives) -> tuple[type[BaseModel], ...]:
    if isinstance(gives, Mapping):
        return ()
    return gives if isinstance(gives, tuple) else (gives,)


def _operation(rule: Rule, method: str, about: str, one: Call) -> Json:
    role = None if rule.endpoint in OPEN else needed(rule.endpoint, method)
    found: Json = {
        "operationId": rule.endpoint.rpartition(".")[2],
        "summary": about.partition("\n")[0],
        "description": about,
        "tags": [rule.endpoint.partition(".")[0]],
        "security": [{"token": [str(role)]}] if role else [],
        "parameters": [*_named(rule), *_queried(one), *one.headers],
        "responses": _responses(rule, one),
    }
    content = one.sends or ({JSON: {"schema": _ref(one.takes)}} if one.takes else None)
    if content:
        fields = one.takes.model_fields.values() if one.takes else ()
        required = bool(one.sends) or any(field.is_required() for field in fields)
        found["requestBody"] = {"content": dict(content), "required": required}
    return found


def _named(rule: Rule) -> Iterator[Json]:
    for name in sorted(rule.arguments):
        schema = {"type": "string", "pattern": NAMED[name].pattern}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _queried(one: Call) -> Iterator[Json]:
    schema = one.query.model_json_schema() if one.query else {"properties": {}}
    for name, about in schema["properties"].items():
        yield {"name": name, "in": "query", "required": False, "schema": about}


def _responses(rule: Rule, one: Call) -> Json:
    found = {str(status): _good(status, gives) for status, gives in one.gives.items()}
    errors = {400, 429, 500, 503, *one.may}
    errors |= {*WITH_BODY} if one.takes or one.sends else set()
    errors |= {404} if rule.arguments else set()
    errors |= {401} if one.sends else set()
    errors |= set() if rule.endpoint in OPEN else {401, 403}
    problem = {"application/problem+json": {"schema": _ref(Problem)}}
    for status in sorted(errors):
        found[str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
    return found


def _good(status: int, gives: Gives) -> Json:
    about: Json = {"description": HTTPStatus(status).phrase}
    if status == HTTPStatus.ACCEPTED:
        about["headers"] = {"Location": {"schema": {"type": "string"}}}
    models = _models(gives)
    if isinstance(gives, Mapping):
        about["content"] = dict(gives)
    else:
        refs = [_ref(model) for model in models]
        about["content"] = {JSON: {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}
    return about


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": REF.format(model=model.__name__)}
