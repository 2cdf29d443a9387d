"""The ledger: what people see of deployments, in Redis. Never needed for safety.

The journal is the truth; whatever is lost here is imported from it again. Only
one thing starts here: a queued deployment is in Redis, on disk, before anyone
is told that it was accepted. So a Redis that may forget it is refused.

Keys, all under `sheetanchor:`

* `deployment:<id>`        hash: `view` (what people see), `order` (what was asked for),
                           `lines` (how many its log ever had)
* `app:<app>:deployments`  sorted set of ids by the time they were queued
* `app:<app>:queued`       those that wait for a worker
* `apps:queued`            set of apps that have such
* `delivery:<app>:<guid>`  the deployment that a delivery became
* `log:<id>`               list of lines
* `app:<app>:state`, `app:<app>:backups`, `worker:<host>`
* `counts`                 hash of sums that graphs show (`worker.ledger.counts`)
* `app:<app>:imported`     there once all journals were: gone when Redis lost everything
"""

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from worker.clock import parse
from worker.deployment import Deployment, Status
from worker.deployment import view as view_of
from worker.errors import NotFoundError
from worker.ledger import counts
from worker.ledger.accepting import Ring, accept
from worker.ledger.connection import check, connect, private_socket, translated, url_of
from worker.ledger.scripts import LOG, PUBLISH

__all__ = ["Ledger", "Page", "check", "connect", "private_socket", "url_of"]

View = dict[str, Any]

PREFIX = "sheetanchor:"
DELIVERY_DAYS = 35  # GitHub redelivers what is 3 days old; older texts say 30
HISTORY = 1000  # deployments of an app that are kept; queued ones always are
LOG_LINES = 20_000
LOG_WIDTH = 4_000  # characters of a line
BEAT_SECONDS = 30


@dataclass(frozen=True)
class Page:
    """Some lines of a log: the first is number `first` (from 0) of the `written` ever."""

    first: int
    written: int
    lines: list[str]
    status: Status | None  # of the deployment; None when it is gone from here

    @property
    def after(self) -> int:
        """How many lines to pass over for the next page."""
        return self.first + len(self.lines)


class Ledger:
    """Reads and writes it. Every method raises UnavailableError when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self.counts = counts.Counts(redis)
        self._redis: Any = redis  # redis-py's types say that any reply may be of any shape
        self._publish = redis.register_script(PUBLISH)
        self._log: Any = redis.register_script(LOG)

    def accept(
        self, deployment: Deployment, *, guid: str | None, ring: Ring = lambda _: None
    ) -> tuple[str, bool]:
        """Store a queued deployment, once for each delivery; return its id and whether it is new.

        A delivery seen before returns the id it became then. `ring` adds its bell to the act.
        """
        remember = DELIVERY_DAYS * 86_400 if guid else 0
        delivery = _key("delivery", deployment.app, guid or "")
        content = _content(view_of(deployment), deployment)
        return accept(self._redis, [*_keys(*content[:2]), delivery], [*content, remember], ring)

    def publish(self, view: Mapping[str, Any], deployment: Deployment | None = None) -> None:
        """Store the newest view; with `deployment`, also what was asked for.

        It leaves the queue once its status is not queued. An unknown one
        (imported from a journal) is indexed.
        """
        content = _content(view, deployment)
        waits = int(view["status"] == Status.QUEUED)
        with translated():
            self._publish(
                [*_keys(*content[:2]), counts.COUNTS],
                [*content, waits, HISTORY, PREFIX, counts.outcome(view), counts.seconds(view)],
            )

    def queued(self, app: str) -> list[Deployment]:
        """Return the app's waiting deployments, oldest first."""
        with translated():
            ids = self._redis.zrange(_key("app", app, "queued"), 0, -1)
        return [Deployment.from_dict(order) for order in self._fields(ids, "order")]

    def apps_with_work(self) -> set[str]:
        """Return the apps that have waiting deployments."""
        with translated():
            return {app.decode() for app in self._redis.smembers(_key("apps", "queued"))}

    def get(self, deployment_id: str) -> View | None:
        """Return a deployment's view, or None when there is no such."""
        return next(iter(self._fields([deployment_id.encode()], "view")), None)

    def order(self, deployment_id: str) -> Deployment | None:
        """Return what was asked for, or None when there is no such deployment."""
        found = next(iter(self._fields([deployment_id.encode()], "order")), None)
        return Deployment.from_dict(found) if found else None

    def history(
        self, app: str, limit: int, before: str | None = None
    ) -> tuple[list[View], str | None]:
        """Return up to `limit` views, newest first, and what to pass as `before` for the next.

        Raises NotFoundError when `before` is no deployment of the app.
        """
        index = _key("app", app, "deployments")
        with translated():
            rank = self._redis.zrevrank(index, before) if before else -1
            if rank is None:
                raise NotFoundError(f"{app} has no deployment {before}.", remedy="Start afresh.")
            ids = self._redis.zrevrange(index, rank + 1, rank + 1 + limit)
        more = ids[limit - 1].decode() if len(ids) > limit else None
        return self._fields(ids[:limit], "view"), more

    def latest(self, app: str) -> View | None:
        """Return the view of the app's newest deployment, or None."""
        return next(iter(self.history(app, 1)[0]), None)

    def append_log(self, deployment_id: str, *lines: str) -> None:
        """Add lines to a deployment's log; the oldest go when it is too long."""
        self._write_log(deployment_id, lines, afresh=False)

    def replace_log(self, deployment_id: str, lines: Sequence[str], written: int) -> None:
        """Write a deployment's log anew, from the end of its file of so many lines."""
        self._write_log(deployment_id, lines, afresh=True, written=written)

    def log(self, deployment_id: str, after: int, most: int) -> Page:
        """Return up to `most` lines of a log after the first `after` that were ever written.

        The oldest ones may be gone: then the page begins later.
        """
        keys = [_key("log", deployment_id), _key("deployment", deployment_id)]
        with translated():
            first, written, lines, shown = self._log(keys, [after, most])
        status = Status(json.loads(shown)["status"]) if shown else None
        return Page(first, written, [line.decode(errors="replace") for line in lines], status)

    def put_app(self, app: str, state: Mapping[str, Any]) -> None:
        """Store what runs, health and hold of an app."""
        self._put(_key("app", app, "state"), dict(state))

    def app(self, app: str) -> dict[str, Any] | None:
        """Return what `put_app` stored, or None."""
        state: dict[str, Any] | None = self._get(_key("app", app, "state"))
        return state

    def put_backups(self, app: str, backups: Sequence[Mapping[str, Any]]) -> None:
        """Store the list of an app's backups."""
        self._put(_key("app", app, "backups"), [dict(backup) for backup in backups])

    def backups(self, app: str) -> list[dict[str, Any]]:
        """Return what `put_backups` stored."""
        return self._get(_key("app", app, "backups")) or []

    def imported(self, app: str) -> bool:
        """Return whether `note_imported` was called since Redis last lost everything."""
        with translated():
            return bool(self._redis.exists(_key("app", app, "imported")))

    def note_imported(self, app: str) -> None:
        """Note that the ledger holds all of an app's journals."""
        with translated():
            self._redis.set(_key("app", app, "imported"), "1")

    def beat(self) -> None:
        """Say that a worker listens on this host; say it again within BEAT_SECONDS."""
        with translated():
            self._redis.set(_key("worker", socket.gethostname()), "1", ex=BEAT_SECONDS)

    def worker_listening(self) -> bool:
        """Return whether a worker of this host has beaten of late."""
        with translated():
            return bool(self._redis.exists(_key("worker", socket.gethostname())))

    def _fields(self, ids: Sequence[bytes], field: str) -> list[Any]:
        with translated():
            pipe = self._redis.pipeline(transaction=False)
            for one in ids:
                pipe.hget(_key("deployment", one.decode()), field)
            return [json.loads(found) for found in pipe.execute() if found]

    def _write_log(
        self, deployment_id: str, lines: Sequence[str], *, afresh: bool, written: int = 0
    ) -> None:
        key, counter = _key("log", deployment_id), _key("deployment", deployment_id)
        encoded = [line[:LOG_WIDTH].encode(errors="replace") for line in lines[-LOG_LINES:]]
        with translated():
            pipe = self._redis.pipeline()
            if afresh:
                pipe.delete(key)
                pipe.hset(counter, "lines", written)
            else:
                pipe.hincrby(counter, "lines", len(lines))
            if encoded:
                pipe.rpush(key, *encoded)
            pipe.ltrim(key, -LOG_LINES, -1)
            pipe.execute()

    def _put(self, key: str, value: Any) -> None:
        with translated():
            self._redis.set(key, json.dumps(value))

    def _get(self, key: str) -> Any:
        with translated():
            found = self._redis.get(key)
        return json.loads(found) if found else None


def _key(*parts: str) -> str:
    return PREFIX + ":".join(parts)


def _keys(deployment_id: str, app: str) -> list[str]:
    mine = _key("deployment", deployment_id), _key("app", app, "deployments")
    return [*mine, _key("app", app, "queued"), _key("apps", "queued")]


def _content(view: Mapping[str, Any], deployment: Deployment | None) -> list[str]:
    """Return the first ARGV of both scripts.

    The keys come from what was asked for, where it is known: a view may have
    been redacted, and an app's name can be a value of its env file.
    """
    order = json.dumps(deployment.as_dict()) if deployment else ""
    asked = deployment.as_dict() if deployment else view
    milliseconds = int(parse(asked["queued_at"]).timestamp() * 1000)
    return [asked["id"], asked["app"], str(milliseconds), order, json.dumps(view)]
