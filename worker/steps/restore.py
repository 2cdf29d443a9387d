"""Puts the data back: only what differs, and only over a safety backup.

The danger is an app that runs meanwhile: somebody found it down, and started it. What that
wrote would be overwritten and nowhere, or mixed with what comes back. So it is stopped
again and what it wrote is set aside, too; but if it has served people for long since, that
is left to a person.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from worker import durable, plan
from worker.adapters import compose
from worker.adapters.containers import Container
from worker.clock import parse
from worker.errors import GuardError, StepError
from worker.steps import data, left_behind, quiet
from worker.steps.attempt import Attempt, Facts

LIMIT = 600.0  # seconds that operations in MongoDB may take to end
WATCHED = 1.0  # seconds in which nobody may write, before and after


def run(attempt: Attempt) -> Facts:
    """Restore the phase's baseline, or what a person asked for."""
    _refuse_other_databases(attempt)
    if awake := _awake(attempt):
        _stop_again(attempt, awake)
    only = None if attempt.going_back else attempt.deployment.options.get("only")
    if only in (None, "mongodb"):
        _nobody_else_writes(attempt)
    told = [] if attempt.going_back else left_behind.put_back(attempt)
    found = data.put_back(attempt, data.baseline(attempt), only=only)
    found["new_warnings"] = [*told, *found.get("new_warnings", ())]
    if only in (None, "mongodb"):
        _nobody_else_writes(attempt)
    if awake := _awake(attempt):
        raise StepError(
            f"{_named(awake)} was started while the app's data was put back.",
            remedy="Leave the app stopped until the deployment has ended.",
        )
    if found["env_restored"] and attempt.deployment.kind == "restore" and not attempt.going_back:
        _render_with_the_restored_env(attempt)
    return found


def _refuse_other_databases(attempt: Attempt) -> None:
    """Refuse when the app's URI leads elsewhere by now: what is there was never backed up."""
    was, now = attempt.fact("preflight", "databases_at"), attempt.databases_at
    if was and now and was != now:
        raise GuardError(
            f"The app's databases were at {was} when this deployment began, and"
            f" {attempt.app.data.mongodb} names {now}.",
            remedy=f"Name {was} there again.",
        )


def _awake(attempt: Attempt) -> list[Container]:
    """Return what of the app runs, though all of it was stopped."""
    return [one for one in attempt.everything if one.running]


def _named(containers: Sequence[Container]) -> str:
    return ", ".join(one.name for one in containers)


def _stop_again(attempt: Attempt, awake: Sequence[Container]) -> None:
    """Stop what somebody started, and set aside what it wrote. Raises GuardError if that is long.

    Promise 6 is about the version that a switch brought; this one a person did.
    """
    health, since = attempt.app.health, min(one.started_at for one in awake)
    if plan.is_long(
        attempt.clock.now() - parse(since), timeout=health.timeout, stable_for=health.stable_for
    ):
        raise GuardError(
            f"{_named(awake)} was started by somebody, before the app's data was put back, and has"
            f" served since {since}.",
            remedy="Decide which data is right: stop it and restore, or keep what there is.",
        )
    quiet.stop(attempt, awake)
    quiet.wait_for_databases(attempt, LIMIT)
    aside = data.set_aside(attempt)
    kept = f" What it wrote was set aside in {aside['safety_backup']}." if aside["differs"] else ""
    told = f"{_named(awake)} was started while the app's data was put back, and stopped again."
    attempt.note({**aside, "new_warnings": [f"{told}{kept}"]})


def _nobody_else_writes(attempt: Attempt) -> None:
    """Raise GuardError for a foreign writer: what it writes would be lost, or stay in between."""
    before = data.readings(attempt)
    if before:
        attempt.clock.sleep(WATCHED)
    if changed := data.written_since(attempt, before):
        raise GuardError(
            f"Somebody else writes to {', '.join(changed)} while the app's data is put back.",
            remedy="Stop that writer, or give it a database of its own, then restore again.",
        )


def _render_with_the_restored_env(attempt: Attempt) -> None:
    """Store a release of the same revision and images, with the env file that came back."""
    app, old = attempt.app, attempt.old_release()
    if old is None:
        return
    model = compose.render(app.checkout, app.compose_files, app.env_path, old.project)
    folder = attempt.state.releases / attempt.id
    folder.mkdir(exist_ok=True, mode=0o700)
    durable.write(folder / "model.json", json.dumps(model).encode())
    replace(old, id=attempt.id, folder=folder).store()
