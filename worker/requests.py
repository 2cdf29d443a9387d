"""What a person asked of an app through the API: fsynced files, until they are carried out.

The web process may take no lock and a deployment holds it for minutes, so a request is
a file: whoever holds the app's lock next carries it out, oldest first, before anything
else is deployed. It counts also while Redis is down, or after that lost everything.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from worker import durable

FREEZE, UNFREEZE, RESUME, APPROVE = VERBS = ("freeze", "unfreeze", "resume", "approve")


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
        """Return those that are not carried out yet, oldest first; none of another's making."""
        read = [durable.read_or_set_aside(path, _named(path)) for path in self._paths()]
        return sorted(filter(None, read), key=lambda one: (one.at, one.id))

    def _paths(self) -> list[Path]:
        return list(self.folder.glob("*.json"))

    def done(self, request: Request) -> None:
        """Forget it. Killed before that, it is carried out twice, which changes nothing."""
        self._path(request).unlink()
        durable.fsync(self.folder)

    def _path(self, request: Request) -> Path:
        return self.folder / f"{request.id}.json"


def _named(path: Path) -> Callable[[str], Request]:
    """Return what reads that file. Raises ValueError or TypeError for what is no request."""

    def read(text: str) -> Request:
        request = Request(**json.loads(text))
        told = (request.id, request.by, request.at)
        if request.id != path.stem or request.verb not in VERBS:
            raise ValueError(f"it asks for {request.verb} as {request.id}")
        if not all(isinstance(one, str) for one in told):
            raise TypeError("who and when are to be texts")
        return request

    return read
