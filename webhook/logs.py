"""A deployment's log: as text, or as events that go on until it has ended.

Danger: a log may be 20,000 long lines, and hundreds may follow it. So both go page by page,
a follower costs one look at Redis twice a second, and there may be only so many.

The stream is one of server-sent events (WHATWG HTML, 9.2): each line's id is how many
lines there were up to it, so who comes back with `Last-Event-ID` misses none.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import gevent  # it ships no types
from flask import Blueprint, Response, current_app, request
from flask.typing import ResponseReturnValue

from webhook.access import standing
from webhook.asking import deployment_named, intake
from webhook.calls import call
from worker.clock import SystemClock
from worker.errors import UnavailableError, UsageError
from worker.ledger import Ledger, Page

bp = Blueprint("logs", __name__, url_prefix="/api/v1")

PAGE = 500  # lines that are in memory at once
EVERY = 0.5  # seconds between two looks
ALIVE = 15.0  # seconds: proxies close what says nothing for 60
LONGEST = 3600.0  # seconds of one stream; the client then comes back by itself
COME_BACK = 2000  # milliseconds until it does
MOST = 200  # followers of one process
LINE_ENDS = re.compile(r"\r\n|\r|\n")

EVENT_ID = "^[0-9]{1,9}$"
TEXTS = {
    "text/plain": {"schema": {"type": "string"}},
    "text/event-stream": {"schema": {"type": "string"}},
}
LAST_SEEN = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event that was seen: the lines after it follow.",
    "schema": {"type": "string", "pattern": EVENT_ID},
}


class Followers:
    """Those who follow a log in this process. `stopping` says that it is asked to end."""

    def __init__(self) -> None:
        self.count = 0
        self.stopping: Callable[[], bool] = lambda: False

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one more meanwhile."""
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


@bp.get("/deployments/<deployment>/log")
@call(gives={200: TEXTS}, headers=(LAST_SEEN,))
def log(deployment: str) -> ResponseReturnValue:
    """Show a deployment's log: text, never to be taken for a page, or events that follow it."""
    known, seen = deployment_named(deployment)["id"], _last_seen()
    offered = request.accept_mimetypes.best_match([*TEXTS])
    return _followed(known, seen) if offered == "text/event-stream" else _text(known)


def _text(deployment: str) -> Response:
    """Answer with what is there now."""
    ledger = intake().ledger
    first = ledger.log(deployment, 0, PAGE)

    def pages(page: Page) -> Iterator[str]:
        while page.lines:
            yield "".join(f"{line}\n" for line in page.lines)
            if page.after >= first.written:  # it may grow faster than it is read
                return
            page = ledger.log(deployment, page.after, PAGE)

    return Response(pages(first), content_type="text/plain; charset=utf-8")


def _last_seen() -> int:
    """Return `Last-Event-ID`: how many lines who comes back has seen."""
    seen = request.headers.get("Last-Event-ID", "0")
    if not re.fullmatch(EVENT_ID, seen):
        raise UsageError("Last-Event-ID is not an event's id.", remedy="Send the last one's.")
    return int(seen)


def _followed(deployment: str, seen: int) -> Response:
    """Answer with the lines after those seen, and those that come."""
    followers: Followers = current_app.extensions["followers"]
    if followers.count >= MOST:
        raise UnavailableError(f"{MOST} follow a log already.", remedy="Close one, then come back.")
    found = intake()
    found.ledger.log(deployment, 0, 1)  # without Redis the answer is 503, not a stream
    following = Following(found.ledger, followers, standing(), deployment)
    stream = Response(following.events(seen), content_type="text/event-stream; charset=utf-8")
    stream.headers["X-Accel-Buffering"] = "no"  # nginx would keep lines back
    return stream


@dataclass(frozen=True)
class Following:
    """One who follows a log, for as long as `allowed` says so."""

    ledger: Ledger
    followers: Followers
    allowed: Callable[[], bool]
    deployment: str

    def events(self, after: int) -> Iterator[str]:
        """Yield the lines from there on, then `end`; a comment where there is nothing to say."""
        with self.followers.one():
            yield f"retry: {COME_BACK}\n\n"
            try:
                yield from self._lines(after)
            except UnavailableError:
                yield ": Redis does not answer; come back\n\n"

    def _lines(self, after: int) -> Iterator[str]:
        clock = SystemClock()
        begun = spoken = clock.monotonic()
        while (now := clock.monotonic()) - begun < LONGEST and not self.followers.stopping():
            page = self.ledger.log(self.deployment, after, PAGE)
            if page.lines:
                yield "".join(_event(page.first + n, line) for n, line in enumerate(page.lines, 1))
                after, spoken = page.after, now
            elif page.status is None or page.status.final:
                yield _end(self.deployment, page)
                return
            elif now - spoken >= ALIVE:
                if not self.allowed():
                    return
                yield ": nothing new\n\n"
                spoken = now
            if len(page.lines) < PAGE:
                gevent.sleep(EVERY)


def _event(number: int, line: str) -> str:
    data = "".join(f"data: {part}\n" for part in LINE_ENDS.split(line))
    return f"id: {number}\n{data}\n"


def _end(deployment: str, page: Page) -> str:
    said = json.dumps({"deployment": deployment, "status": page.status})
    return f"event: end\nid: {page.after}\ndata: {said}\n\n"
