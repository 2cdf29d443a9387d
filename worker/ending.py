"""What is noted at a deployment's end: what runs, the head's decision, holds, the outage."""

from collections.abc import Collection, Sequence
from typing import Any

from worker import plan
from worker.clock import rfc3339
from worker.decisions import DECISIVE, TRIES_AFTER_A_DEATH
from worker.deployment import Status, seconds
from worker.errors import StepError
from worker.journal import RESUME, Record, since_resumed
from worker.release import Release
from worker.steps import data
from worker.steps.attempt import Attempt

DEATHS = 5  # of processes, in one step of the way back


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
            left=attempt.fact("preflight", "previous_revision") if kind == "rolled_back" else None,
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
    """Record what became of the branch's head, if this deployment was about it."""
    head = _head(attempt)
    if head and status in DECISIVE and _is_about_the_head(attempt):
        now = rfc3339(attempt.clock.now())
        attempt.decisions.decide(head, str(status), attempt.id, now, reason)


def try_again(attempt: Attempt, reason: str) -> None:
    """Put the branch's head off: the surroundings failed. Decide it if it killed us too often."""
    if not _is_about_the_head(attempt):
        return
    head, now = _head(attempt), attempt.clock.now()
    died = attempt.inherited
    if attempt.decisions.postpone(head, attempt.id, now, reason, died=died) or head is None:
        return
    why = f"It was tried {TRIES_AFTER_A_DEATH + 1} times, and each time the process died. {reason}"
    attempt.decisions.decide(head, str(Status.FAILED), attempt.id, rfc3339(now), why)


def _head(attempt: Attempt) -> str | None:
    """Return the head that was fetched, else the one that the push or reconcile saw."""
    asked = attempt.deployment
    seen = None if asked.by_person else asked.requested_revision
    found: str | None = attempt.fact("preflight", "branch_head") or seen
    return found


def _is_about_the_head(attempt: Attempt) -> bool:
    """Whether it was to bring the branch's head: no pin, roll-back or restore."""
    fetched, asked = attempt.fact("preflight", "branch_head"), attempt.deployment
    if fetched is None:
        return asked.kind == "deploy" and not asked.wanted and bool(asked.options.get("pull", True))
    return asked.kind == "deploy" and bool(attempt.fact("preflight", "revision") == fetched)


def refuse_deadly(records: Sequence[Record], step: str) -> None:
    """Raise StepError for a step of the way back that kills each process that tries it.

    Or it would be tried for ever, with the app down and nobody told.
    """
    if (died := plan.deaths(since_resumed(records) or records, step)) >= DEATHS:
        raise StepError(
            f"{died} processes died in the step {step}.",
            remedy="Find out what kills them: the memory, the machine, somebody's script.",
        )


def way_back(
    attempt: Attempt, begun: Collection[str], records: Sequence[Record]
) -> tuple[str, ...]:
    """Return the steps that undo what had begun; of data that a person called right, none."""
    keep = attempt.app.rollback.data == "keep"
    steps = plan.way_back(attempt.deployment.kind, begun, keep_data=keep)
    resumes = [record["facts"] for record in records if record["step"] == RESUME]
    if any(facts.get("keeps_data") for facts in resumes):
        return tuple(step for step in steps if step not in ("safety", "restore"))
    return steps


def owed(attempt: Attempt) -> str | None:
    """Return the backup that the app was waiting for already: what failed since owes it, too."""
    hold = attempt.decisions.read()["hold"] or {}
    backup: str | None = hold.get("restore")
    return backup


def not_put_back(attempt: Attempt, steps: Collection[str], records: Sequence[Record]) -> str | None:
    """Return the backup that a way back of these steps ended without putting back, if any."""
    done = any((one["step"], one["event"]) == ("restore", "done") for one in records)
    return data.baseline(attempt) if "restore" in steps and not done else None


def what_to_do(app: str, lost: str | None) -> str:
    """Return a person's next step. `resume` alone would keep what the new version left."""
    kept = "Nothing is touched any more; every backup is kept. Mend the cause, then run"
    if lost is None:
        return f"{kept} `sheetanchor resume {app}`, which goes on, or `sheetanchor restore {app}`."
    return f"{kept} `sheetanchor restore {app} {lost}`: the data is not yet as it was before."


def names_left(attempt: Attempt, why: str) -> None:
    """Say that image names still name what was built. The app itself was never touched."""
    warning = (
        f"The images' names could not be put back: {why} Until the next deployment a"
        " `docker compose up` by hand may start what was built for this one."
    )
    attempt.note({"new_warnings": [warning]})


def went_back(
    attempt: Attempt, records: Sequence[Record], why: str, *, blamed: Exception | None
) -> None:
    """Note what a way back that came to its end leads to; `blamed`: what made it necessary.

    A hold of its own ends with it: a person resumed it, or who held the app died before the end.
    """
    if blamed:
        try_again(attempt, why)
    hold, resumed = attempt.decisions.read()["hold"] or {}, since_resumed(records)
    if resumed or hold.get("deployment") == attempt.id:
        asked = resumed[0]["facts"] if resumed else {"by": None, "reason": "it went back after all"}
        now = rfc3339(attempt.clock.now())
        attempt.decisions.lift("inconsistent", by=asked["by"], at=now, reason=asked["reason"])


def hold_inconsistent(attempt: Attempt, why: str, lost: str | None) -> None:
    """Stop automatic deployments of the app until a person has looked."""
    now, app = rfc3339(attempt.clock.now()), attempt.app.name
    why = f"{why} {what_to_do(app, lost)}"
    attempt.decisions.hold(
        "inconsistent", by=None, at=now, reason=why, head=None, restore=lost, deployment=attempt.id
    )


def outage(attempt: Attempt, records: Sequence[Record]) -> dict[str, Any]:
    """Return for how long nothing served: from the first stop to the last switch."""
    begun: dict[tuple[str, str], Record] = {}
    stops: list[Record] = []
    serving: list[Record] = []
    for record in records:
        step, facts = (record["phase"], record["step"]), record["facts"]
        if record["event"] == "intent":
            begun.setdefault(step, record)
        if record["event"] == "done" and facts.get("stopped_at"):
            stops.append(begun[step])
        if record["event"] == "done" and facts.get("serving_at"):
            serving.append(record)
    if not (stops and serving and any(one.running for one in attempt.before)):
        return {}
    return {"outage_seconds": seconds(stops[0], serving[-1])}
