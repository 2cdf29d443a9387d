"""Finds a branch head of which no delivery told: `python -m worker.reconcile APP`.

GitHub sends nothing twice, and Redis may lose what it held. So a worker's scan
starts `worker.glance` in a process of its own, which becomes this where there is
something to do. It asks the remote for the head, without the app's lock, since a
remote may hang; then judges that head under the lock, before anything is queued.
What has a decision, runs, is held or put off stays.

The danger is to deploy what nobody wants any more: a look judges as a push
would, and never brings a head that was decided.
"""

import json
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from worker import configfile, durable, logs, stopping
from worker.adapters.git import Checkout
from worker.ci import Verdict
from worker.clock import rfc3339
from worker.decisions import is_put_off, judge
from worker.deployment import Deployment
from worker.errors import (
    BusyError,
    GuardError,
    HeldError,
    SheetanchorError,
    SkippedError,
    UnavailableError,
)
from worker.glance import seen
from worker.jobs import Runner, runner_of
from worker.rounds import BUSY, NOT_REACHED

log = logging.getLogger(__name__)

Ask = Callable[[], str]


def look(runner: Runner, ask: Ask) -> int:
    """Deploy the head that `ask` returns if nobody decided about it; return an exit code."""
    try:
        head = ask()
    except (UnavailableError, GuardError) as error:
        _report(runner, error)
        return NOT_REACHED
    _report(runner, None)
    runner.work_off()
    try:
        with runner.locked():
            runner.recover()  # somebody may have died, or asked for a freeze, since
            runner.settle()
            found = None if runner.stopping.is_set() else wanted(runner, head)
            if found and not _queue(runner, found) and _may_run(runner, found):
                runner.run(found)  # without Redis nobody can tell us of a newer one
    except BusyError:
        return BUSY
    runner.work_off()
    log.info("remote.looked", extra={"app": runner.app.name, "head": head})
    return 0


def wanted(runner: Runner, head: str) -> Deployment | None:
    """Return the deployment that this head needs, or None. Needs the lock."""
    decisions, now = runner.decisions, runner.clock.now()
    decided = decisions.read()
    found = seen(runner.app, head, now, _why(decided["put_off"], head))
    try:
        judge(decided, found, head)
    except HeldError:
        return None
    except SkippedError:
        _settle(runner, decided, head)
        return None
    # A push that is queued takes the branch's head: one is enough.
    waits = any(not one.by_person for one in runner.waiting.queued())
    return None if waits or is_put_off(decided, head, now) else found


def _why(put_off: dict[str, Any] | None, head: str) -> str:
    if put_off and put_off["revision"] in (head, None):
        return f"tried again after {put_off['deployment']}: {put_off['reason']}"
    return f"{head[:12]} was not decided yet: no delivery of it arrived here"


def _settle(runner: Runner, decided: dict[str, Any], head: str) -> None:
    """Forget a try that became moot; a hold whose head was not known is about this one."""
    hold = decided["hold"]
    if decided["put_off"]:
        runner.decisions.write(put_off=None)
    if hold and hold["head"] is None:
        runner.decisions.write(hold={**hold, "head": head})


def _queue(runner: Runner, found: Deployment) -> bool:
    """Queue it, for all to see; return False while Redis is down."""
    extra = {"app": found.app, "deployment": found.id, "revision": found.requested_revision}
    log.info("head.found", extra=extra)
    if runner.ledger is None:
        return False
    try:
        runner.ledger.accept(found, guid=None)
    except UnavailableError:
        return False
    return True


def _may_run(runner: Runner, found: Deployment) -> bool:
    """Return whether its CI, if one is required, has passed: what waits for that needs a queue."""
    return runner.waiting.patience.verdict(found)[0] is Verdict.PASSED


def _report(runner: Runner, error: SheetanchorError | None) -> None:
    """Say once that the remote is down, and once that it is back; over restarts, too."""
    path, app = runner.state.remote, runner.app
    if bool(error) == path.exists():
        return
    if error:
        why = configfile.redactor(app)(str(error))
        note = {"since": rfc3339(runner.clock.now()), "why": why}
        durable.write(path, json.dumps(note).encode())
        log.warning("remote.lost", extra={"app": app.name, **note})
    else:
        path.unlink()
        durable.fsync(path.parent)
        log.info("remote.found", extra={"app": app.name})
    runner.show()


def main() -> int:
    """Look once at one app: what a glance at it becomes."""
    logs.start()
    config = configfile.load(configfile.find(None, os.environ))
    runner = runner_of(config, sys.argv[1])
    app = runner.app

    def ask() -> str:
        head = Checkout(app.checkout, app.branch, app.clone_url).ask_head()
        stopping.listen(runner.stopping)  # from now on a stop waits for us
        return head

    return look(runner, ask)


if __name__ == "__main__":
    sys.exit(main())
