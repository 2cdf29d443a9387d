"""What is noted at a deployment's end: what runs, the head's decision, holds, the outage."""

from collections.abc import Sequence
from typing import Any

from worker.clock import parse, rfc3339
from worker.decisions import DECISIVE
from worker.deployment import Status
from worker.journal import Record
from worker.release import Release
from worker.steps.attempt import Attempt


def note_success(attempt: Attempt, release: Release | None) -> None:
    """Write what runs now, and end or begin holds. Can run twice."""
    if attempt.brings_release and release:
        _note_running(attempt, release)
    own = _own_hold(attempt)
    if own:
        kind, reason = own
        attempt.decisions.hold(
            kind,
            by=attempt.deployment.by,
            at=rfc3339(attempt.clock.now()),
            reason=reason,
            head=attempt.fact("preflight", "branch_head"),
        )
    else:
        now = rfc3339(attempt.clock.now())
        attempt.decisions.lift(*_ends(attempt), by=attempt.deployment.by, at=now)


def _note_running(attempt: Attempt, release: Release) -> None:
    running = attempt.decisions.read()["running"] or {}
    if running.get("release") == attempt.id:
        return
    attempt.decisions.write(
        running={
            "release": attempt.id,
            "revision": release.revision,
            "previous_release": release.previous,
            "since": rfc3339(attempt.clock.now()),
            "by": attempt.deployment.by,
        }
    )


def _own_hold(attempt: Attempt) -> tuple[str, str] | None:
    """Return the hold that a roll-back or a pinned revision begins."""
    revision = attempt.fact("preflight", "revision")
    if attempt.deployment.kind == "rollback":
        return "rolled_back", f"rolled back to {revision[:12]}"
    if attempt.deployment.kind == "deploy" and revision != attempt.fact("preflight", "branch_head"):
        return "pinned", f"deployed revision {revision[:12]}, not the branch's head"
    return None


def _ends(attempt: Attempt) -> tuple[str, ...]:
    """Return the holds that a success ends: a restore only mends an inconsistent app."""
    if attempt.deployment.kind == "restore":
        return ("inconsistent",)
    return ("inconsistent", "rolled_back", "pinned", "stopped")


def decide(attempt: Attempt, status: Status, reason: str | None) -> None:
    """Record what became of the branch's head, if this deployment was about it.

    Not for what a dead process left: the head is tried again, unless a person cancelled it.
    """
    head = attempt.fact("preflight", "branch_head")
    own = attempt.deployment.kind == "deploy" and attempt.fact("preflight", "revision") == head
    ours = status == Status.CANCELLED or not attempt.inherited
    if head and own and status in DECISIVE and ours:
        now = rfc3339(attempt.clock.now())
        attempt.decisions.decide(head, str(status), attempt.id, now, reason)


def hold_inconsistent(attempt: Attempt, why: str) -> None:
    """Stop automatic deployments of the app until a person has looked."""
    now = rfc3339(attempt.clock.now())
    attempt.decisions.hold("inconsistent", by=None, at=now, reason=why, head=None)


def outage(attempt: Attempt, records: Sequence[Record]) -> dict[str, Any]:
    """Return for how long nothing served: from the first stop to the last switch."""
    found = [record["facts"] for record in records if record["event"] == "done"]
    stops = [facts["stopped_at"] for facts in found if facts.get("stopped_at")]
    serving = [facts["serving_at"] for facts in found if facts.get("serving_at")]
    if not (stops and serving and any(one.running for one in attempt.before)):
        return {}
    return {"outage_seconds": (parse(max(serving)) - parse(min(stops))).total_seconds()}
