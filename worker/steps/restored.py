"""What a release may do with the env file that a restore is about to bring back.

An env file fills in the Compose files: an address to publish at, a folder to mount. One
that comes from a backup asks for as much as a revision could, so it is judged alike, and
before anything is stopped for it.
"""

from pathlib import Path

from worker.adapters import compose
from worker.backups.source import Source
from worker.release import Release
from worker.steps import data, drift, reads
from worker.steps.attempt import Attempt


def judge(attempt: Attempt, backup: str | None, running: Release | None) -> None:
    """Raise GuardError when the backup's env file asks for privileges that nobody approved."""
    stored = _env_file(attempt, backup) if backup else None
    if stored is None or running is None:
        return
    app = attempt.app
    model = compose.render(
        app.checkout, app.compose_files, stored, running.project, mark=attempt.id
    )
    with_it = app.model_copy(update={"env_file": str(stored)})
    read = reads.of_folder(with_it, app.checkout)
    drift.judge(attempt, running.revision, model, read, running)


def _env_file(attempt: Attempt, backup: str) -> Path | None:
    """Return the env file in the backup, if it is to be restored and differs from what is."""
    app, only = attempt.app, attempt.deployment.options.get("only")
    if app.env_path is None or only not in (None, "env"):
        return None
    place = Source(app=app, mongo=None, clock=attempt.clock, config_files=(app.env_path,))
    stored = data.find(attempt, backup).path / next(iter(place.stored_config()))
    if not stored.is_file():
        return None
    live = app.env_path
    same = live.is_file() and live.read_bytes() == stored.read_bytes()
    return None if same else stored
