"""A first look at a branch's head: `python -m worker.glance APP`, in a process of its own.

Mostly there is nothing to do: the head was decided, is held, or is put off. That is seen
without the clients of Docker, MongoDB and Redis, whose imports alone cost half a second of
processor time, for each app in each round. With anything else to do, or to tell, this process
becomes `worker.reconcile`, which asks anew and judges under the lock.

The danger is a head that is passed over here and should not be: so this says no only where a
look under the lock would have changed nothing.
"""

import logging
import os
import sys
from datetime import datetime
from typing import Any

from worker import configfile, lock, logs
from worker.adapters.git import Checkout
from worker.clock import SystemClock, rfc3339
from worker.config import App
from worker.decisions import Decisions, is_put_off, judge
from worker.deployment import Deployment, new_id
from worker.errors import GuardError, HeldError, SkippedError, UnavailableError
from worker.rounds import BUSY, NOT_REACHED
from worker.state import State

log = logging.getLogger(__name__)


def glance(app: App, state: State, now: datetime) -> int | None:
    """Return the exit code of a look that has nothing to do, or None when there is something."""
    lost = state.remote.exists()  # what people were told of the remote
    try:
        head = Checkout(app.checkout, app.branch, app.clone_url).ask_head()
    except (UnavailableError, GuardError):
        return NOT_REACHED if lost else None
    if not lock.is_free(state.lock):
        return BUSY
    decided = Decisions(state.decisions).read()
    if lost or owes(decided, seen(app, head, now), head, now):
        return None
    log.info("remote.looked", extra={"app": app.name, "head": head})
    return 0


def owes(decided: dict[str, Any], found: Deployment, head: str, now: datetime) -> bool:
    """Return whether this head has to be deployed, or to be noted in the decisions."""
    hold = decided["hold"]
    try:
        judge(decided, found, head)
    except HeldError:
        return False
    except SkippedError:
        return bool(decided["put_off"]) or bool(hold and hold["head"] is None)
    return not is_put_off(decided, head, now)


def seen(app: App, head: str, now: datetime, reason: str | None = None) -> Deployment:
    """Return the deployment of a head of which no delivery told."""
    return Deployment(
        id=new_id(now),
        app=app.name,
        kind="deploy",
        trigger="reconcile",
        by=None,
        queued_at=rfc3339(now),
        reason=reason,
        requested_revision=head,
        options={"force": False, "pull": True},
    )


def main() -> int:
    """Look once at one app, for a worker's scan."""
    logs.start()
    config = configfile.load(configfile.find(None, os.environ))
    app = configfile.app_of(config, sys.argv[1])
    code = glance(app, State.of(config, app), SystemClock().now())
    if code is None:
        argv = [sys.executable, "-m", "worker.reconcile", app.name]
        os.execv(argv[0], argv)  # noqa: S606 - no shell; it takes over our id and signals
    return code or 0


if __name__ == "__main__":
    sys.exit(main())
