"""What a delivery asks for: a push to deploy, a result of CI, or why there is none. Pure.

Only the body is signed: the headers' event name may take a delivery away, but
what is deployed is read from the body alone, and every field is checked before
it is used. Branch names and messages are hostile text: a branch may be called
`--upload-pack=...` or `x/main`, so the full ref is compared and nothing cut
from it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from worker.ci import Result
from worker.clock import parse
from worker.config import App
from worker.deployment import REVISION
from worker.redact import stripped

GUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
LONGEST_MESSAGE = 200  # characters
LONGEST_NAME = 100
CI = ("workflow_run", "check_suite")
ACTIONS = ("github-actions", "GitHub Actions")  # its slug and name as an app
STARTED_BY = ("push", "workflow_dispatch", "repository_dispatch")  # who may write starts them

Payload = Mapping[str, Any]


class MalformedError(ValueError):
    """The body is not what GitHub sends."""


@dataclass(frozen=True, slots=True)
class Pong:
    """GitHub asked whether we are here."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to deploy, and why."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A push to the app's branch."""

    revision: str
    by: str | None
    message: str | None
    author: str | None


def load(body: bytes) -> dict[str, Any]:
    """Return the JSON object. Raises MalformedError for anything else, however deep.

    Stricter than Python's reader: UTF-8 only, no NaN, no key twice.
    """
    try:
        payload = json.loads(
            body.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_without_doubles
        )
    except (ValueError, RecursionError) as error:
        raise MalformedError("The body is not JSON.") from error
    if not isinstance(payload, dict):
        raise MalformedError("The body is not a JSON object.")
    return payload


def of_form(body: bytes) -> bytes:
    """Return the JSON of a form-encoded delivery: GitHub's older content type.

    The body is one field, `payload`, URL-encoded; the signature was over the encoded
    bytes. Raises MalformedError for another field, a second one, or what is no form.
    """
    try:
        fields = parse_qsl(
            body.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=1
        )
    except ValueError as error:
        raise MalformedError("The body is not one form field `payload`.") from error
    if [name for name, _ in fields] != ["payload"]:
        raise MalformedError("The body is not one form field `payload`.")
    return fields[0][1].encode()


def judge(event: str, payload: Payload, app: App) -> Push | Pong | Ignored | Result:
    """Return what the delivery asks for. Raises MalformedError when it is no delivery."""
    if "zen" in payload and "ref" not in payload:
        return Pong() if event == "ping" else Ignored("The body is a ping.")
    if event in CI and app.gate.require_ci:
        return _result(event, payload, app)
    if event != "push":
        return Ignored(f"The event is {stripped(event)[:LONGEST_NAME]!r}, not 'push'.")
    ref = _text(payload, "ref")
    if (reason := _elsewhere(payload, app) or _other(ref, app)) is not None:
        return Ignored(reason)
    return _push(payload, ref)


def _elsewhere(payload: Payload, app: App) -> str | None:
    """Return why this is of no repository of the app's, or None."""
    repository = _text(_object(payload, "repository"), "full_name")
    if repository.lower() == app.repository.lower():
        return None
    now = stripped(repository)[:LONGEST_NAME]
    return (
        f"The repository is {now!r}, not {app.repository}. If it was renamed, set"
        f" apps.{app.name}.repository."
    )


def _other(ref: str, app: App) -> str | None:
    """Return why this push is not to the app's branch, or None."""
    if ref == f"refs/heads/{app.branch}":
        return None
    if ref.startswith("refs/tags/"):
        return "It is a tag."
    return f"The branch is not {app.branch}."


def _result(event: str, payload: Payload, app: App) -> Result | Ignored:
    """Return how CI ended for a revision of the app's branch, or why this does not count."""
    found = _object(payload, event)
    if (reason := _elsewhere(payload, app) or _of_no_push(event, payload, found, app)) is not None:
        return Ignored(reason)
    revision = _text(found, "head_sha")
    if not REVISION.fullmatch(revision):
        raise MalformedError("`head_sha` is not a revision.")
    if event == "workflow_run":
        workflow, attempt = _number(found, "workflow_id"), _number(found, "run_attempt")
        named = _object(payload, "workflow")
        name = _shown(named, "name", LONGEST_NAME) or _shown(found, "name", LONGEST_NAME)
    else:
        owner = _object(found, "app")
        workflow, attempt = _number(owner, "id"), _moment(found, "updated_at")
        name = _shown(owner, "slug", LONGEST_NAME) or _shown(owner, "name", LONGEST_NAME)
    return Result(
        revision=revision,
        kind=event,
        workflow=workflow,
        run=_number(found, "id"),
        attempt=attempt,
        name=name or event,
        conclusion=_shown(found, "conclusion", LONGEST_NAME) or "",
    )


def _of_no_push(event: str, payload: Payload, found: Payload, app: App) -> str | None:
    """Return why what CI said is nothing of a push to the branch, or None.

    Who may only comment or open a pull request can start workflows, some of them on the
    branch's own head: those let nothing through. A check suite does not say what started
    it, so GitHub Actions' own do not count: each has a workflow run that does.
    """
    if payload.get("action") != "completed":
        return "The CI run is not completed."
    if found.get("head_branch") != app.branch:
        return f"The CI run is not of the branch {app.branch}."
    if event == "check_suite":
        owner = _object(found, "app")
        is_actions = owner.get("slug") == ACTIONS[0] or owner.get("name") == ACTIONS[1]
        return "A workflow run tells of this." if is_actions else None
    home = _object(found, "head_repository").get("full_name")
    if not isinstance(home, str) or home.lower() != app.repository.lower():
        return "The CI run is of a fork."
    return None if found.get("event") in STARTED_BY else "The CI run is of no push."


def _number(fields: Payload, key: str) -> int:
    """Return a number that names something. Raises MalformedError."""
    value = fields.get(key)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise MalformedError(f"`{key}` is not a number.")
    return value


def _moment(fields: Payload, key: str) -> int:
    """Return a moment as seconds since 1970. Raises MalformedError."""
    try:
        return int(parse(_text(fields, key)).timestamp())
    except (ValueError, OverflowError) as error:
        raise MalformedError(f"`{key}` is not a time.") from error


def _push(payload: Payload, ref: str) -> Push | Ignored:
    revision = _text(payload, "after")
    if not REVISION.fullmatch(revision):
        raise MalformedError("`after` is not a revision.")
    if payload.get("deleted") is True or not revision.strip("0"):
        return Ignored("The branch was deleted.")
    head, pusher = _object(payload, "head_commit"), _object(payload, "pusher")
    message = _shown(head, "message", LONGEST_MESSAGE)
    author = _shown(_object(head, "author"), "name", LONGEST_NAME)
    by = _shown(pusher, "name", LONGEST_NAME)
    return Push(revision=revision, by=by, message=message, author=author)


def _text(fields: Payload, key: str) -> str:
    """Return a text that must be there. Raises MalformedError."""
    value = fields.get(key)
    if not isinstance(value, str) or not _is_unicode(value):
        raise MalformedError(f"`{key}` is not a text.")
    return value


def _shown(fields: Payload, key: str, longest: int) -> str | None:
    """Return the first line of a text that people see, or None if it is not there."""
    if fields.get(key) is None:
        return None
    first_line = (_text(fields, key).strip().splitlines() or [""])[0]
    return stripped(first_line)[:longest] or None


def _object(fields: Payload, key: str) -> Payload:
    """Return an object; empty if it is null or not there. Raises MalformedError."""
    value = fields.get(key)
    if value is not None and not isinstance(value, dict):
        raise MalformedError(f"`{key}` is not an object.")
    return value or {}


def _is_unicode(text: str) -> bool:
    r"""Return whether the text can be written: a lone surrogate (\ud800) cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
