"""Who wants a deployment cancelled: one fsynced file a deployment, which outlives Redis.

The danger is a cancel that arrives as the fence begins: a person told "cancelled"
while the old version is being stopped. So there is one file, and whoever makes it
first wins: a person who cancels, or the deployment that closes the matter just
before its fence. The file holds what was asked for, so that a queued deployment
is ended, and its head decided, also when Redis has lost it meanwhile.

Asked twice, it is the first one's. The files of ended deployments are swept.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker import durable
from worker.deployment import Deployment
from worker.errors import BusyError, CancelledError


@dataclass(frozen=True)
class Cancel:
    """A person's wish: of which deployment, who, when and why."""

    deployment: Deployment
    by: str
    at: str  # RFC 3339 UTC
    reason: str | None

    def error(self) -> CancelledError:
        """Return what ends the deployment."""
        why = f": {self.reason}" if self.reason else ""
        return CancelledError(f"{self.by} cancelled it at {self.at}{why}.", remedy="Deploy again.")


@dataclass(frozen=True)
class Cancels:
    """The files of one app."""

    folder: Path

    def ask(self, wish: Cancel) -> Cancel:
        """Leave the wish, on disk when this returns; return whoever's was first.

        Raises BusyError when the deployment's fence has begun.
        """
        fields = {"by": wish.by, "at": wish.at, "reason": wish.reason}
        content = {"deployment": wish.deployment.as_dict(), **fields}
        if found := self._make(wish.deployment.id, content):
            return found
        raise BusyError(
            f"Deployment {wish.deployment.id} is past its fence: it replaces the old version.",
            remedy="Wait for its end, then roll back.",
        )

    def of(self, deployment: str) -> Cancel | None:
        """Return who wants this deployment cancelled, if anybody did in time."""
        return self._read(self._path(deployment))

    def close(self, deployment: str, at: str) -> None:
        """Take no cancel from here on. Raises CancelledError when one was first."""
        if wish := self._make(deployment, {"closed_at": at}):
            raise wish.error()

    def _make(self, deployment: str, content: dict[str, Any]) -> Cancel | None:
        """Make the deployment's file if there is none; return the wish that is in it then."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(deployment)
        while not durable.create(path, json.dumps(content).encode()):
            if wish := self._read(path):
                return wish
            if path.exists():  # else it was no file of ours, and is set aside
                return None
        return self._read(path)

    def all(self) -> list[Cancel]:
        """Return every wish that is on disk, in the order of the deployments."""
        return list(filter(None, map(self._read, sorted(self.folder.glob("*.json")))))

    def sweep(self, is_over: Callable[[str], bool]) -> None:
        """Remove the files of the deployments that are over."""
        for path in self.folder.glob("*.json"):
            if is_over(path.stem):
                path.unlink()

    def _path(self, deployment: str) -> Path:
        return self.folder / f"{deployment}.json"

    def _read(self, path: Path) -> Cancel | None:
        """Return the wish in a file; None for a fence's, and for what is not ours."""
        return durable.read_or_set_aside(path, _named(path))


def _named(path: Path) -> Callable[[str], Cancel | None]:
    """Return what reads that file. Raises ValueError or TypeError for what is neither."""

    def read(text: str) -> Cancel | None:
        content = json.loads(text)
        if set(content) == {"closed_at"}:
            return None
        wish = Cancel(**(content | {"deployment": Deployment.from_dict(content["deployment"])}))
        if wish.deployment.id != path.stem:
            raise ValueError(f"it names the deployment {wish.deployment.id}")
        return wish

    return read
