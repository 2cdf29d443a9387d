"""Puts the data back: only what differs, and only over a safety backup."""

import json
from dataclasses import replace

from worker import durable
from worker.adapters import compose
from worker.errors import GuardError
from worker.steps import data, left_behind
from worker.steps.attempt import Attempt, Facts

WATCHED = 1.0  # seconds in which nobody may write, before and after


def run(attempt: Attempt) -> Facts:
    """Restore the phase's baseline, or what a person asked for."""
    only = None if attempt.going_back else attempt.deployment.options.get("only")
    if only in (None, "mongodb"):
        _nobody_else_writes(attempt)
    told = [] if attempt.going_back else left_behind.put_back(attempt)
    found = data.put_back(attempt, data.baseline(attempt), only=only)
    found["new_warnings"] = [*told, *found.get("new_warnings", ())]
    if only in (None, "mongodb"):
        _nobody_else_writes(attempt)
    if found["env_restored"] and attempt.deployment.kind == "restore" and not attempt.going_back:
        _render_with_the_restored_env(attempt)
    return found


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
