"""What may run by itself: the last observed head, what became of it, and holds.

One fsynced file an app, beside its journals; Redis shows copies only. A
*decision* is about one observed move of the branch head. While the head stays
where it is, a decided head is not tried again by push, redelivery or reconcile;
when it moves, also back to an older revision, the new one is undecided.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker import durable
from worker.deployment import Deployment, Status
from worker.errors import HeldError, SkippedError

PERSONS = ("api", "cli")  # triggers that are a person's
UNTIL_ENDED = ("frozen", "inconsistent")  # holds that only a person ends

# What one of these says of a head was decided; the surroundings' failures are not.
DECISIVE = (Status.SUCCEEDED, Status.FAILED, Status.ROLLED_BACK, Status.SKIPPED, Status.CANCELLED)


@dataclass(frozen=True)
class Decisions:
    """The file of one app."""

    path: Path

    def read(self) -> dict[str, Any]:
        """Return `running`, `head` and `hold`, each a dict or None."""
        empty: dict[str, Any] = {"running": None, "head": None, "hold": None}
        try:
            stored: dict[str, Any] = json.loads(self.path.read_text())
        except FileNotFoundError:
            return empty
        return empty | stored

    def write(self, **changes: dict[str, Any] | None) -> None:
        """Replace these entries; on disk when this returns. The caller holds the lock."""
        text = json.dumps(self.read() | changes, indent=1)
        durable.write(self.path, text.encode())

    def hold(self, kind: str, *, by: str | None, at: str, reason: str, head: str | None) -> None:
        """Hold automatic deployments: until a newer head, or until a person ends it."""
        self.write(hold={"kind": kind, "by": by, "at": at, "reason": reason, "head": head})

    def decide(self, head: str, status: str, deployment: str, at: str, reason: str | None) -> None:
        """Record what became of the branch's head."""
        entry = {"revision": head, "decision": status, "deployment": deployment}
        self.write(head={**entry, "at": at, "reason": reason})


def judge(decisions: dict[str, Any], deployment: Deployment, head: str, revision: str) -> None:
    """Return if the deployment may go on now.

    Raises SkippedError for an automatic one that has nothing to do, HeldError
    for any that a hold stops. `force` overrides all.
    """
    if deployment.options.get("force"):
        return
    hold = decisions["hold"]
    if hold and hold["kind"] in UNTIL_ENDED and deployment.kind == "deploy":
        raise HeldError(_held(hold), remedy=_ending(hold, deployment.app))
    if deployment.trigger in PERSONS:
        return
    if hold and hold["head"] == head:
        raise SkippedError(_held(hold), remedy="Push a newer revision, or deploy with --force.")
    running = decisions["running"]
    if running and running["revision"] == revision:
        raise SkippedError(f"Revision {revision[:12]} runs already.", remedy="Nothing is to do.")
    decided = decisions["head"]
    if decided and decided["revision"] == head:
        raise SkippedError(
            f"Head {head[:12]} was decided by {decided['deployment']}: {decided['decision']}.",
            remedy="Push a newer revision, or deploy with --force.",
        )


def _held(hold: dict[str, Any]) -> str:
    return f"The app is held ({hold['kind']}, since {hold['at']}): {hold['reason']}"


def _ending(hold: dict[str, Any], app: str) -> str:
    if hold["kind"] == "inconsistent":
        return f"Mend the cause, then run `sheetanchor deploy {app} --force`, or restore a backup."
    return "Deploy with --force, or end the freeze."
