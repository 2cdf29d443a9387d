"""GitHub's REST API: commit statuses and deployments of one repository.

Sources: docs.github.com/rest/commits/statuses, /rest/deployments, and
/rest/using-the-rest-api/rate-limits-for-the-rest-api. Whoever asks on while limited may be
banned, so `LimitedError` says for how long to wait. The token is in no error and no log.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from worker.adapters import https
from worker.adapters.https import Answer
from worker.clock import Clock
from worker.errors import DeclinedError, LimitedError, UnavailableError
from worker.redact import REDACTED, stripped

WITHIN = 10.0  # seconds
LONGEST_WAIT = 3_600.0  # seconds; its limits are by the hour
SECONDARY = 60.0  # seconds to wait when it does not say for how long
LONGEST_MESSAGE = 200  # characters

Body = Mapping[str, Any]


@dataclass(frozen=True)
class GitHub:
    """One repository, as the holder of a token sees it.

    Each method raises UnavailableError when trying again can help, LimitedError when it
    must be later, and DeclinedError when it cannot.
    """

    api_url: str
    repository: str
    clock: Clock
    token: str = field(repr=False)

    def set_status(self, revision: str, status: Body) -> None:
        """Set a commit status; the newest of a context is the one that is shown."""
        self._ask("POST", f"statuses/{revision}", status)

    def create_deployment(self, deployment: Body) -> int:
        """Create a deployment; return its number."""
        return _number(self._ask("POST", "deployments", deployment))

    def find_deployment(self, revision: str, environment: str, mark: Body) -> int | None:
        """Return the number of the deployment whose payload is `mark`, if it was created."""
        query = urlencode({"sha": revision, "environment": environment, "per_page": 100})
        found = self._ask("GET", f"deployments?{query}", None)
        there = found if isinstance(found, list) else []
        return next((_number(one) for one in there if _payload(one) == mark), None)

    def set_deployment_status(self, number: int, status: Body) -> None:
        """Say how a deployment goes."""
        self._ask("POST", f"deployments/{number}/statuses", status)

    def _ask(self, method: str, what: str, body: Body | None) -> Any:
        answer = https.call(
            method,
            f"{self.api_url}/repos/{self.repository}/{what}",
            headers={
                "Authorization": f"Bearer {self.token}",
                "Accept": "application/vnd.github+json",
                "Content-Type": "application/json",
                "User-Agent": "sheetanchor",
                "X-GitHub-Api-Version": "2022-11-28",
            },
            body=None if body is None else json.dumps(body).encode(),
            within=WITHIN,
        )
        return self._judged(answer)

    def _judged(self, answer: Answer) -> Any:
        """Return what the answer holds, or raise what it means."""
        found = _json(answer.body)
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES and found is not None:
            return found
        said = stripped(str(found.get("message", ""))) if isinstance(found, dict) else ""
        said = said.replace(self.token, REDACTED)[:LONGEST_MESSAGE]
        message = f"GitHub answered {answer.status}{f' ({said})' if said else ''}."
        self._refuse_limited(answer, said, message)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise UnavailableError(message, remedy="Write a valid token into github.token_file.")
        if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise DeclinedError(message, remedy=_remedy(answer.status))
        raise UnavailableError(message, remedy="It is tried again.")

    def _refuse_limited(self, answer: Answer, said: str, message: str) -> None:
        """Raise LimitedError when this is GitHub's way to ask for a pause."""
        if answer.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS):
            return
        wait = self._asked_to_wait(answer.headers)
        if wait is None and (
            answer.status == HTTPStatus.TOO_MANY_REQUESTS or "rate limit" in said.lower()
        ):
            wait = SECONDARY
        if wait is not None:
            wait = min(max(wait, 1.0), LONGEST_WAIT)
            raise LimitedError(message, remedy="It is tried again later.", wait=wait)

    def _asked_to_wait(self, headers: Mapping[str, str]) -> float | None:
        after, reset = headers.get("retry-after", ""), headers.get("x-ratelimit-reset", "")
        if after.isascii() and after.isdigit():
            return float(after)
        if headers.get("x-ratelimit-remaining") == "0":
            known = reset.isascii() and reset.isdigit()
            return float(reset) - self.clock.now().timestamp() if known else SECONDARY
        return None


def _json(body: bytes) -> Any:
    """Return what it holds; None for what is no JSON, as of a proxy between."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _number(found: Any) -> int:
    number = found.get("id") if isinstance(found, dict) else None
    if type(number) is not int:
        raise UnavailableError("GitHub named no deployment.", remedy="It is tried again.")
    return number


def _payload(found: Any) -> Any:
    """Return what was sent with a deployment; old ones have it as a text."""
    payload = found.get("payload") if isinstance(found, dict) else None
    return _json(payload.encode()) if isinstance(payload, str) else payload


def _remedy(status: int) -> str:
    if status < HTTPStatus.BAD_REQUEST:
        return "If the repository was renamed, set its new name in apps.NAME.repository."
    if status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
        return (
            "Give the token write access to commit statuses and deployments of the repository,"
            " and see that apps.NAME.repository is right."
        )
    return "See that the revision is in the repository."
