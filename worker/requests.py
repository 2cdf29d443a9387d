"""What a person asked of an app through the API: fsynced files, until they are carried out.

The web process may take no lock and a deployment holds it for minutes, so a request is
a file: whoever holds the app's lock next carries it out, oldest first, before anything
else is deployed. It counts also while Redis is down, or after that lost everything.

Slow work is asked for in the same way, in a folder of its own (`State.slow`): whoever
holds the app's slow lock does it. What died at it is done again, but not for ever.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from worker import durable

STOP, START, RESTART = CONTAINERS = ("stop", "start", "restart")
FREEZE, UNFREEZE, RESUME, APPROVE = HOLDS = ("freeze", "unfreeze", "resume", "approve")
VERBS = (*HOLDS, *CONTAINERS)
VERIFY, DRILL, BACKUP = SLOW = ("verify", "drill", "backup")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked, by whom, when and why; `deployment` is the one to approve.

    Of slow work: `backup` is the one it is about, `tries` how often it was begun and
    not ended.
    """

    id: str
    verb: str
    by: str
    at: str  # RFC 3339 UTC
    reason: str | None = None
    deployment: str | None = None
    backup: str | None = None
    tries: int = 0


@dataclass(frozen=True)
class Requests:
    """The requests of one app with these verbs; SLOW ones have a folder of their own."""

    folder: Path
    verbs: tuple[str, ...] = VERBS

    def leave(self, request: Request) -> None:
        """Write it; on disk when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        durable.create(self._path(request), json.dumps(asdict(request)).encode())

    def all(self) -> list[Request]:
        """Return those that are not carried out yet, oldest first; none of another's making."""
        read = [durable.read_or_set_aside(path, _named(path, self.verbs)) for path in self._paths()]
        return sorted(filter(None, read), key=lambda one: (one.at, one.id))

    def _paths(self) -> list[Path]:
        return list(self.folder.glob("*.json"))

    def same(self, asked: Request) -> Request | None:
        """Return one that waits for the same, so that it need not be asked for twice."""
        return next((one for one in self.all() if _about(one) == _about(asked)), None)

    def begin(self, request: Request) -> Request:
        """Note, on disk, that it is begun once more; return it so."""
        begun = replace(request, tries=request.tries + 1)
        self.put_back(begun)
        return begun

    def put_back(self, request: Request) -> None:
        """Have it as it was before it was begun: it was stopped, and did nothing wrong."""
        durable.write(self._path(request), json.dumps(asdict(request)).encode())

    def done(self, request: Request) -> None:
        """Forget it. Killed before that, it is carried out twice, which changes nothing."""
        self._path(request).unlink()
        durable.fsync(self.folder)

    def _path(self, request: Request) -> Path:
        return self.folder / f"{request.id}.json"


def _about(asked: Request) -> tuple[object, ...]:
    """Return what it is about; what was begun already is another matter."""
    return asked.verb, asked.backup, asked.deployment, asked.tries


def _named(path: Path, verbs: tuple[str, ...]) -> Callable[[str], Request]:
    """Return what reads that file. Raises ValueError or TypeError for what is no request."""

    def read(text: str) -> Request:
        request = Request(**json.loads(text))
        told = (request.id, request.by, request.at)
        if request.id != path.stem or request.verb not in verbs:
            raise ValueError(f"it asks for {request.verb} as {request.id}")
        if not all(isinstance(one, str) for one in told) or type(request.tries) is not int:
            raise TypeError("who and when are to be texts, and tries a number")
        return request

    return read
