"""Puts the data back: only what differs, and only over a safety backup."""

import json
from dataclasses import replace

from worker import durable
from worker.adapters import compose
from worker.steps import data, left_behind
from worker.steps.attempt import Attempt, Facts


def run(attempt: Attempt) -> Facts:
    """Restore the phase's baseline, or what a person asked for."""
    only = None if attempt.going_back else attempt.deployment.options.get("only")
    if not attempt.going_back:
        left_behind.put_back(attempt)
    found = data.put_back(attempt, data.baseline(attempt), only=only)
    if found["env_restored"] and attempt.deployment.kind == "restore" and not attempt.going_back:
        _render_with_the_restored_env(attempt)
    return found


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
