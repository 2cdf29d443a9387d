"""Which new privileges of which revision a person approved: a fsynced file an app.

`revision -> {by, at, deployment, privileges}`. What is approved are sentences,
word for word: the same revision rendered with another env file may ask for
more, and then asks again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker import durable


@dataclass(frozen=True)
class Approvals:
    """The file of one app."""

    path: Path

    def of(self, revision: str) -> frozenset[str]:
        """Return the sentences that were approved for a revision."""
        return frozenset(self._read().get(revision, {}).get("privileges", ()))

    def approve(
        self, revision: str, privileges: Sequence[str], *, deployment: str, by: str, at: str
    ) -> None:
        """Add to what is approved; on disk when this returns. The caller holds the lock."""
        all_of_it = sorted(self.of(revision) | set(privileges))
        entry = {"by": by, "at": at, "deployment": deployment, "privileges": all_of_it}
        durable.write(self.path, json.dumps({**self._read(), revision: entry}, indent=1).encode())

    def _read(self) -> dict[str, Any]:
        return durable.read_json(self.path) or {}
