"""Stops the app's containers and waits until its databases are quiet too.

Stopped containers are not stopped writes: mongod finishes what a killed client
began (343,000 of 500,000 documents, measured).
"""

import json
from collections.abc import Sequence
from pathlib import Path

from worker.adapters import compose, rivals
from worker.adapters.containers import Container
from worker.errors import CommandError, StepError, UnavailableError
from worker.release import with_pre_stop
from worker.steps.attempt import Attempt

NEVER = {"Name": "no", "MaximumRetryCount": 0}
POLL = 0.2  # seconds
KILL_AFTER = 0.75  # of the limit; what still runs then is ended by us


def stop(attempt: Attempt, containers: Sequence[Container]) -> None:
    """Take the restart policies off, then stop. A reboot then starts nothing."""
    for one in containers:
        if one.policy.get("Name") not in ("", "no"):
            attempt.engine.set_policy(one.id, NEVER)
    running = [one for one in containers if one.running]
    if running:
        attempt.say(f"stopping {', '.join(one.name for one in running)}")
        _run_hooks(attempt, running)
        attempt.engine.stop(running)


def _run_hooks(attempt: Attempt, running: Sequence[Container]) -> None:
    """Have Compose stop what has a `pre_stop`, which Docker knows nothing of.

    It may write down what would be lost. One that fails keeps an old version from being
    replaced; but not a new one from being taken back.
    """
    for model, services in _with_hooks(attempt, running).items():
        try:
            attempt.compose.stop(model, sorted(services), on_line=attempt.say)
        except CommandError as error:
            if not attempt.going_back:
                raise
            attempt.say(f"pre_stop failed: {error.message}")


def _with_hooks(attempt: Attempt, running: Sequence[Container]) -> dict[Path, set[str]]:
    """Return model -> those of its services that run and have a `pre_stop`."""
    found: dict[Path, set[str]] = {}
    for one in running:
        model = _model_of(attempt, one) if one.status == "running" else None
        if model and one.service in with_pre_stop(json.loads(model.read_text())):
            found.setdefault(model, set()).add(one.service)
    return found


def _model_of(attempt: Attempt, one: Container) -> Path | None:
    """Return the model that a container was made from; of one made by hand, what it matches."""
    ours = [path for path in map(Path, one.files) if path.is_relative_to(attempt.state.releases)]
    old = attempt.old_release()
    models = [*ours, *([old.model_path] if old else [])]
    return next((path for path in models if path.is_file()), None)


def nobody_else_at_work(attempt: Attempt, project: str) -> None:
    """Raise UnavailableError while a person's `docker compose` works on the project."""
    app = attempt.app
    folders = {app.checkout, *((app.checkout / one).parent for one in app.compose_files)}
    if other := rivals.at_work(folders, project):
        raise UnavailableError(
            f"{other} was at work on the project {project}.",
            remedy="Wait for its end. If it keeps the app up, from a terminal or a service, end it"
            f" and run `{compose.by_hand(app, project)}`. Then deploy again.",
        )


def wait_for_databases(attempt: Attempt, limit: float) -> int:
    """Return how many operations were waited for; none is left when this returns.

    They are given three quarters of `limit` seconds to end by themselves, then
    killed. Raises StepError when one does not die within `limit`.
    """
    mongo = attempt.mongo
    if mongo is None:
        return 0
    began = attempt.clock.monotonic()
    seen: set[str] = set()
    while operations := mongo.operations(settling=True):
        waited = attempt.clock.monotonic() - began
        if not seen:
            attempt.say(f"waiting for {len(operations)} operation(s) still running in MongoDB")
        seen |= {str(operation.id) for operation in operations}
        if waited > limit:
            raise StepError(
                f"MongoDB still ran {operations[0]} after {limit:g} s.",
                remedy="End it with db.killOp, or find who runs it.",
            )
        if waited > limit * KILL_AFTER:
            for operation in operations:
                attempt.say(f"ending {operation}")
                mongo.kill(operation)
        attempt.clock.sleep(POLL)
    return len(seen)


def settle(attempt: Attempt, limit: float = 120, *, stops: bool = True) -> None:
    """Wait until no container has changed its state for longer than its stop grace.

    The daemon goes on with what a killed client asked for; who looks too early
    sees a container "running" that is about to be stopped (measured). Without `stops`, for
    who has stopped all that ran, the grace is no part of it: our own request for a stop ends
    with any other for the same container, and to look at one waits for a start under way.
    """
    clock = attempt.clock
    began = since = clock.monotonic()
    seen = None
    grace = max([one.stop_timeout for one in attempt.everything], default=0) if stops else 0
    while clock.monotonic() - began < max(limit, 2 * grace + 5):
        now = [(one.id, one.status, one.started_at) for one in attempt.everything]
        if now != seen:
            seen, since = now, clock.monotonic()
        if clock.monotonic() - since > grace + 1:
            break
        clock.sleep(POLL)
    attempt.settled = True
