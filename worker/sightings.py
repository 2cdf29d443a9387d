"""What others are told of: an app's deployments as journals and queue have them now.

The journals are the truth; what waits is in the queue alone. Only looks, and reads again
only what has grown. The danger is to take a Redis that is away for a queue that is empty.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from worker import configfile
from worker.clock import Clock
from worker.config import App
from worker.deployment import Deployment, view
from worker.errors import UnavailableError
from worker.journal import Journal
from worker.ledger import Ledger
from worker.report import cleaned
from worker.state import State

NEWEST = 100  # deployments that anybody is still told of

View = dict[str, Any]


class Sightings:
    """The newest deployments of one app."""

    def __init__(self, app: App, state: State, ledger: Ledger, clock: Clock) -> None:
        self._app = app
        self._state = state
        self._ledger = ledger
        self._clock = clock
        self._seen: dict[Path, tuple[int, View]] = {}  # with its size then

    def look(self) -> tuple[dict[str, View], bool]:
        """Return id -> view, oldest first, redacted; and whether the queue could be asked."""
        try:  # the queue first: whoever leaves it has a journal by then
            queued, asked = self._ledger.queued(self._app.name), True
        except UnavailableError:
            queued, asked = [], False
        found = {str(one["id"]): one for one in self._journals()}
        waiting = [one for one in queued if one.id not in found]
        redact = configfile.redactor(self._app) if waiting else str
        found |= {one.id: cleaned(self._shown(one), redact) for one in waiting}
        return dict(sorted(found.items())), asked

    def _shown(self, queued: Deployment) -> View:
        """Return what the ledger shows of what waits: also why."""
        with suppress(UnavailableError):
            return self._ledger.get(queued.id) or view(queued)
        return view(queued)

    def _journals(self) -> list[View]:
        paths = sorted(self._state.journals.glob("*.jsonl"))[-NEWEST:]
        sizes = {path: path.stat().st_size for path in paths}
        changed = [path for path in paths if self._seen.get(path, (-1,))[0] != sizes[path]]
        if changed:
            redact = configfile.redactor(self._app)
            self._seen |= {path: (sizes[path], self._read(path, redact)) for path in changed}
        self._seen = {path: self._seen[path] for path in paths}
        return [shown for _, shown in self._seen.values() if shown]

    def _read(self, path: Path, redact: Any) -> View:
        journal = Journal(path, self._clock)
        asked, records = journal.deployment(), journal.records()
        return cleaned(view(asked, records), redact) if asked else {}
