"""RQ is the doorbell: a job says "look at this app", and nothing else.

What is to be done is in the ledger; which of it runs is decided under the
app's lock. So a lost ring costs five seconds (each worker scans), and a ring
too many finds nothing to do. No retry, no time limit, no callback of RQ's.

Danger: RQ imports and calls whatever a job names, and its callbacks, and asks
URLs, whichever serializer is used. Who can write to Redis would have a root
shell (measured). Workers must therefore run with `AllowedJob`, which
reads few fields of a job and calls one function.

Slow work (reading backups back, drills) has a queue and workers of its own, with a
function of its own: no deployment waits behind it.
"""

import importlib
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job

from worker.deployment import ID
from worker.errors import UnavailableError, UsageError
from worker.formats import APP_NAME

RUN_APP = "worker.jobs.run_app"  # by name: the web never imports what the worker does
RUN_SLOW = "worker.slow.run_app"
NO_LIMIT = -1  # steps have limits of their own; RQ's would cut a way back short
RESULT_TTL = 60  # seconds
FAILURE_TTL = 7 * 86_400  # seconds; RQ's year keeps tracebacks for too long


class AllowedJob(Job):
    """A job that can only call our own functions, with arguments that look like ours."""

    allowed: ClassVar[Mapping[str, tuple[re.Pattern[str], ...]]] = {RUN_APP: (APP_NAME, ID)}

    # Of the hash in Redis. Not read, so without effect: callbacks, webhooks,
    # retries, repeats, rate limits, dependencies, meta, an earlier result.
    _read = frozenset(
        b"data created_at origin description enqueued_at started_at ended_at last_heartbeat"
        b" worker_name status".split()
    )

    def restore(self, raw_data: Mapping[bytes, bytes]) -> Any:
        """Take the plain fields of the hash; limits are ours, whatever it says."""
        super().restore({key: raw_data[key] for key in self._read & raw_data.keys()})
        self.timeout, self.result_ttl, self.failure_ttl = NO_LIMIT, RESULT_TTL, FAILURE_TTL

    @property
    def func(self) -> Callable[..., Any]:
        """Return the function. Raises UsageError, before any import, unless it is allowed."""
        patterns = self.allowed.get(self.func_name) if isinstance(self.func_name, str) else None
        if patterns is None or self.instance is not None or self.kwargs or not self._fit(patterns):
            raise UsageError(
                f"The job {self.id} was refused: it asks for what no job of ours does.",
                remedy="Find out who else can write to this Redis, and keep them out.",
            )
        module, _, name = str(self.func_name).rpartition(".")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return function

    def _fit(self, patterns: tuple[re.Pattern[str], ...]) -> bool:
        if not isinstance(self.args, list | tuple) or len(self.args) != len(patterns):
            return False
        pairs = zip(patterns, self.args, strict=True)
        return all(isinstance(text, str) and pattern.fullmatch(text) for pattern, text in pairs)


class SlowJob(AllowedJob):
    """A job of the slow queue: as narrow, and it can begin no deployment."""

    allowed: ClassVar[Mapping[str, tuple[re.Pattern[str], ...]]] = {RUN_SLOW: (APP_NAME, ID)}


def queue_name(host: str | None = None, *, slow: bool = False) -> str:
    """Return the queue of a host's workers; one Redis can serve many hosts."""
    # No host has a colon in its name, so no host's queue is another one's slow queue.
    return f"sheetanchor{'-slow:' if slow else '-'}{host or socket.gethostname()}"


def queue(redis: Redis, host: str | None = None, *, slow: bool = False) -> Queue:
    """Return the queue. A worker on it needs its `job_class` and `serializer="json"`."""
    return Queue(
        queue_name(host, slow=slow),
        connection=redis,
        job_class=SlowJob if slow else AllowedJob,
        serializer="json",
        default_timeout=NO_LIMIT,
    )


def ring(
    redis: Redis, app: str, about: str, *, slow: bool = False, pipeline: Pipeline | None = None
) -> None:
    """Ask this host's workers to look at the app; asking twice is harmless.

    With `pipeline`, when that is executed.

    `about` is the id of a deployment or request. Raises UnavailableError. When that is
    stored it is no reason to fail: a worker finds it within 5 s.
    """
    try:
        queue(redis, slow=slow).enqueue(
            RUN_SLOW if slow else RUN_APP,
            args=(app, about),
            job_timeout=NO_LIMIT,
            result_ttl=RESULT_TTL,
            failure_ttl=FAILURE_TTL,
            description=f"{app} {about}",
            pipeline=pipeline,
        )
    except RedisError as error:
        raise UnavailableError(
            f"Redis did not take the ring for {about}: {error}.",
            remedy="Wait: a worker that runs finds it within 5 seconds.",
        ) from error
