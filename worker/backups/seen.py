"""Which backups there were at the last look, so that one that vanished is noticed.

A file in the app's state: the folder, and the ids. What we remove ourselves is taken
out of it; what is gone stays in it until a deployment has told of it.
"""

import json
from collections.abc import Collection
from pathlib import Path

from worker import durable
from worker.config import App


def vanished(record: Path, app: App) -> list[str]:
    """Return the backups that were there and are not, removed by somebody else."""
    return sorted(one for one in _known(record, app) if not (app.backup_dir / one).exists())


def look(record: Path, app: App, there: Collection[str], removed: Collection[str]) -> None:
    """Remember what is there, and what is gone but was not removed by us."""
    known = {*_known(record, app), *there} - {*removed}
    _write(record, app, known)


def told(record: Path, app: App) -> None:
    """Forget what is gone: somebody has been told."""
    _write(record, app, set(_known(record, app)) - set(vanished(record, app)))


def _known(record: Path, app: App) -> list[str]:
    """Return the ids; none when the backups have been moved to another folder since."""
    stored = durable.read_json(record)
    return list(stored["backups"]) if stored and stored["folder"] == str(app.backup_dir) else []


def _write(record: Path, app: App, ids: Collection[str]) -> None:
    stored = {"folder": str(app.backup_dir), "backups": sorted(ids)}
    durable.write(record, json.dumps(stored).encode())
