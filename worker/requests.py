"""What a person asked of an app through the API: fsynced files, until they are carried out.

The web process may take no lock and a deployment holds it for minutes, so a request is
a file: whoever holds the app's lock next carries it out, oldest first, before anything
else is deployed. It counts also while Redis is down, or after that lost everything.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from worker import durable

FREEZE, UNFREEZE, RESUME, APPROVE = ("freeze", "unfreeze", "resume", "approve")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked, by whom, when and why; `deployment` is the one to approve."""

    id: str
    verb: str
    by: str
    at: str  # RFC 3339 UTC
    reason: str | None = None
    deployment: str | None = None


@dataclass(frozen=True)
class Requests:
    """The requests of one app."""

    folder: Path

    def leave(self, request: Request) -> None:
        """Write it; on disk when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        durable.create(self._path(request), json.dumps(asdict(request)).encode())

    def all(self) -> list[Request]:
        """Return those that are not carried out yet, oldest first."""
        found = []
        for path in self.folder.glob("*.json"):
            try:
                found.append(Request(**json.loads(path.read_text())))
            except FileNotFoundError:  # carried out as we looked
                continue
        return sorted(found, key=lambda one: (one.at, one.id))

    def done(self, request: Request) -> None:
        """Forget it. Killed before that, it is carried out twice, which changes nothing."""
        self._path(request).unlink()
        durable.fsync(self.folder)

    def _path(self, request: Request) -> Path:
        return self.folder / f"{request.id}.json"
