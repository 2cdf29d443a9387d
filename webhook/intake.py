"""Accepts an event or a request as a queued deployment: stored first, then the bell.

A delivery becomes one deployment, however often GitHub redelivers it. Should
we die, or Redis stop, between storing and ringing, a worker finds the
deployment within 5 seconds: that is why a lost ring is only logged.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from redis.client import Pipeline

from webhook.event import Push
from worker import queue
from worker.ci import Result, Results
from worker.clock import Clock, SystemClock, rfc3339
from worker.config import Config
from worker.deployment import Deployment, new_id
from worker.errors import UnavailableError
from worker.ledger import Ledger
from worker.state import State

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Intake:
    """The door's one verb."""

    config: Config
    redis: Redis
    ledger: Ledger
    clock: Clock = field(default_factory=SystemClock)

    def push(self, app: str, push: Push, guid: str) -> tuple[str, bool]:
        """Queue a push; return the deployment's id, and False if the delivery was seen before.

        Raises UnavailableError when it could not be stored; then nobody may be told 202.
        """
        return self._accept(
            guid=guid.lower(),
            app=app,
            kind="deploy",
            trigger="push",
            by=push.by,
            delivery=guid.lower(),
            requested_revision=push.revision,
            message=push.message,
            author=push.author,
            options={"force": False, "pull": True},
        )

    def note(self, app: str, result: Result) -> None:
        """Note what CI said of a revision; a push may have waited for it.

        Raises UnavailableError when it is not on disk: then nobody may be told that it is.
        """
        try:
            Results(State.where(self.config, self.config.apps[app]).ci).note(result)
        except OSError as error:
            raise UnavailableError(
                f"The result of CI could not be stored: {error.strerror}.",
                remedy="Free some space, then have GitHub deliver it again.",
            ) from error
        self.ring(app, new_id(self.clock.now()))

    def request(
        self,
        app: str,
        kind: str,
        *,
        by: str,
        options: Mapping[str, Any],
        reason: str | None = None,
        revision: str | None = None,
    ) -> str:
        """Queue what a person asked for; return the deployment's id. Raises UnavailableError."""
        accepted, _ = self._accept(
            guid=None,
            app=app,
            kind=kind,
            trigger="api",
            by=by,
            reason=reason,
            requested_revision=revision,
            options=options,
        )
        return accepted

    def _accept(self, *, guid: str | None, **asked: Any) -> tuple[str, bool]:
        now = self.clock.now()
        deployment = Deployment(id=new_id(now), queued_at=rfc3339(now), **asked)

        def ring(pipeline: Pipeline) -> None:
            queue.ring(self.redis, deployment.app, deployment.id, pipeline=pipeline)

        accepted, is_new = self.ledger.accept(deployment, guid=guid, ring=ring)
        if is_new:
            log.info("deployment.queued", extra=_audit(deployment))
        return accepted, is_new

    def ring(self, app: str, about: str, *, slow: bool = False) -> None:
        """Have a worker look at the app at once; one that hears nothing looks every 5 s."""
        try:
            queue.ring(self.redis, app, about, slow=slow)
        except UnavailableError as error:
            log.warning("bell.lost", extra={"about": about, "detail": error.message})


def _audit(deployment: Deployment) -> dict[str, Any]:
    """Return who asked for what."""
    asked = deployment.as_dict()
    keys = ("app", "kind", "trigger", "by", "delivery", "requested_revision", "reason", "options")
    return {"deployment": deployment.id, **{key: asked[key] for key in keys}}
