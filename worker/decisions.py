"""What may run by itself: the last observed head, what became of it, and holds.

One fsynced file an app, beside its journals; Redis shows copies only. A
*decision* is about one observed move of the branch head. While the head stays
where it is, a decided head is not tried again by push, redelivery or reconcile;
when it moves, also back to an older revision, the new one is undecided.

A failure of the surroundings (remote, Docker, MongoDB, Redis, space, the death
of our own process) is no decision. The head is *put off*: tried again after a
pause that doubles, and that a restart does not shorten. The danger is a
revision that kills whoever deploys it: after three more tries it is decided.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from worker import durable
from worker.clock import parse, rfc3339
from worker.deployment import Deployment, Status
from worker.errors import ConfigError, HeldError, SkippedError
from worker.reserve import Reserve

UNTIL_ENDED = ("frozen", "inconsistent")  # holds that only a person ends
LONGEST_PAUSE = timedelta(minutes=60)
TRIES_AFTER_A_DEATH = 3
IS_HELD = "The app is held"  # how the reason of what a hold stopped begins

# What one of these says of a head was decided; the surroundings' failures are not.
DECISIVE = (Status.SUCCEEDED, Status.FAILED, Status.ROLLED_BACK, Status.SKIPPED, Status.CANCELLED)


@dataclass(frozen=True)
class Decisions:
    """The file of one app."""

    path: Path

    def read(self) -> dict[str, Any]:
        """Return `running`, `head`, `hold`, the last `ended` hold and `put_off`: dicts or None.

        Raises ConfigError for a damaged file: without it every hold would be forgotten.
        """
        keys = ("running", "head", "hold", "ended", "put_off")
        try:
            return dict.fromkeys(keys) | (durable.read_json(self.path) or {})
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{self.path} could not be read: {error}.",
                remedy="Mend it by hand; it is JSON. If you move it away instead, every hold is"
                " forgotten, and what runs, too: freeze the app right after.",
            ) from error

    def write(self, **changes: dict[str, Any] | None) -> None:
        """Replace these entries; on disk when this returns. The caller holds the lock."""
        text = json.dumps(self.read() | changes, indent=1).encode()
        reserve = Reserve(self.path.with_name("reserve"))
        reserve.spend(lambda: durable.write(self.path, text))

    def hold(
        self,
        kind: str,
        *,
        by: str | None,
        at: str,
        reason: str,
        head: str | None,
        **more: str | None,
    ) -> None:
        """Hold automatic deployments: until a newer head, or until a person ends it.

        `more` may have `deployment`, whose way back failed, `restore`, the backup that it did
        not put back, and `left`, the revision that a person rolled back from.
        """
        new = {"kind": kind, "by": by, "at": at, "reason": reason, "head": head}
        new |= {name: value for name, value in more.items() if value}
        self.write(hold=_laid(self.read()["hold"], new))

    def lift(self, *kinds: str, by: str | None, at: str, reason: str | None = None) -> None:
        """End the holds of these kinds, and record who did; what lay under one is in force."""
        hold = self.read()["hold"]
        left = _without(hold, kinds)
        if left != hold:
            self.write(hold=left, ended={"hold": hold, "by": by, "at": at, "reason": reason})

    def decide(
        self, head: str, status: str, deployment: str | None, at: str, reason: str | None
    ) -> None:
        """Record what became of the branch's head; holds until a newer one end with it."""
        entry = {"revision": head, "decision": status, "deployment": deployment}
        hold = _outlived(self.read()["hold"], head)
        self.write(head={**entry, "at": at, "reason": reason}, hold=hold, put_off=None)

    def postpone(
        self, head: str | None, deployment: str, at: datetime, reason: str, *, died: bool
    ) -> bool:
        """Have the head tried again later; return False when it died too often for that.

        `head` is None when the remote did not even say it. A newer head begins anew.
        """
        last = self.read()["put_off"] or {}
        if head and last.get("revision") not in (head, None):
            last = {}
        failures, deaths = last.get("failures", 0) + 1, last.get("deaths", 0) + died
        if deaths > TRIES_AFTER_A_DEATH:
            return False
        entry = {"revision": head or last.get("revision"), "failures": failures, "deaths": deaths}
        until = rfc3339(at + pause(failures))
        about = {"deployment": deployment, "at": rfc3339(at), "reason": reason}
        self.write(put_off={**entry, "until": until, **about})
        return True


def pause(failures: int) -> timedelta:
    """Return how long to wait after so many failures in a row: 1, 2, 4 … 60 minutes."""
    return min(timedelta(minutes=2 ** min(failures - 1, 10)), LONGEST_PAUSE)


def is_ahead(moment: str, now: datetime) -> bool:
    """Return whether the time of a next try is still to come.

    One further away than the longest pause is a clock's that was set back.
    """
    return timedelta(0) < parse(moment) - now <= LONGEST_PAUSE


def is_put_off(decisions: dict[str, Any], head: str | None, now: datetime) -> bool:
    """Return whether the head's next try is still to come."""
    entry = decisions["put_off"]
    if entry is None or (head and entry["revision"] not in (head, None)):
        return False
    return is_ahead(entry["until"], now)


def in_turn(
    queued: list[Deployment],
) -> tuple[Deployment | None, list[tuple[Deployment, Deployment]]]:
    """Return which of the queued (oldest first) runs now, and who is superseded by whom.

    Of the automatic ones only the newest runs: it takes the branch's head. A
    person's are never superseded, and run in the order in which they were queued.
    """
    automatic = [one for one in queued if not one.by_person]
    old = automatic[:-1]
    left = [one for one in queued if one not in old]
    return (left[0] if left else None), [(one, automatic[-1]) for one in old]


def judge(decisions: dict[str, Any], deployment: Deployment, head: str) -> None:
    """Return if the deployment may go on now.

    Raises SkippedError for an automatic one that has nothing to do, HeldError
    for any that a hold stops. `force` overrides all.
    """
    if deployment.options.get("force"):
        return
    hold = decisions["hold"]
    if hold and hold["kind"] in UNTIL_ENDED and deployment.kind == "deploy":
        raise HeldError(_held(hold), remedy=_ending(hold, deployment.app))
    if deployment.by_person:
        return
    if hold and _holds(hold, deployment, head):
        raise SkippedError(_held(hold), remedy="Push a newer revision, or deploy with --force.")
    decided = decisions["head"]
    if decided and decided["revision"] == head:
        raise SkippedError(
            f"Head {head[:12]} was decided by {decided['deployment'] or 'a look at the remote'}:"
            f" {decided['decision']}.",
            remedy="Push a newer revision, or deploy with --force.",
        )


def runs(decisions: dict[str, Any], deployment: Deployment, revision: str) -> bool:
    """Return whether an automatic deployment would bring what was deployed last.

    Of the record alone: who can should ask Docker, too, whether that still runs.
    """
    running = decisions["running"]
    asked = deployment.by_person or deployment.options.get("force")
    return not asked and bool(running) and running["revision"] == revision


def _holds(hold: dict[str, Any], deployment: Deployment, head: str) -> bool:
    """Whether a hold until a newer head is about this one.

    One whose head was not known when it began is about whatever reconcile finds;
    a push is news. The branch may have gone back, unseen, to what a person rolled
    back from: that is no newer head.
    """
    unknown = hold["head"] is None and deployment.trigger == "reconcile"
    return unknown or head in (hold["head"], hold.get("left"))


def _laid(before: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """Return the new hold and, as its `under`, what must outlast it.

    A freeze is a person's to end: nothing else may replace it, and its end may
    not bring back what was rolled back before it.
    """
    under = (before or {}).get("under")
    if new["kind"] == "frozen":
        return {**new, "under": under if before and before["kind"] == "frozen" else before}
    freeze = before if before and before["kind"] == "frozen" else under
    if freeze is None:
        return new
    if new["kind"] == "inconsistent":
        return {**new, "under": freeze}
    return {**freeze, "under": new}


def _outlived(hold: dict[str, Any] | None, head: str) -> dict[str, Any] | None:
    """Return what is left of the holds once this head was decided: `until a newer one` is over."""
    if hold is None:
        return None
    under = _outlived(hold.get("under"), head)
    lasts = hold["head"] is None or head in (hold["head"], hold.get("left"))
    if hold["kind"] not in UNTIL_ENDED and not lasts:
        return under
    return {**hold, "under": under} if "under" in hold else hold


def _without(hold: dict[str, Any] | None, kinds: tuple[str, ...]) -> dict[str, Any] | None:
    if hold is None:
        return None
    under = _without(hold.get("under"), kinds)
    if hold["kind"] in kinds:
        return under
    return {**hold, "under": under} if "under" in hold else hold


def _held(hold: dict[str, Any]) -> str:
    return f"{IS_HELD} ({hold['kind']}, since {hold['at']}): {hold['reason']}"


def _ending(hold: dict[str, Any], app: str) -> str:
    if hold["kind"] == "inconsistent":
        lost = hold.get("restore")
        restore, why = (f"{app} {lost}", " --reason WHY") if lost else (app, "")
        return (
            f"Mend the cause, then run `sheetanchor restore {restore}`; or, once app and data are"
            f" right as they are, `sheetanchor resume {app}{why}`."
        )
    return f"Run `sheetanchor unfreeze {app}`, or deploy with --force."
