"""What is wrong with an app, by subject, and what that says. Pure.

A condition has a fingerprint: while it stays the same nobody is told again. Numbers and ids
do not count, or each try of the same failure would be news.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.deployment import Status
from worker.patience import NONE_CAME

View = Mapping[str, Any]

DEPLOYING = "deploying"  # the subject of all deployments
RECOVERED, SUCCEEDED = "recovered", "succeeded"
BACKUP_FAILED, DRILL_FAILED, DISK_LOW = "backup_failed", "drill_failed", "disk_low"
CI_MISSING = "ci_missing"
BAD = {
    Status.FAILED: "failed, and users saw nothing of it",
    Status.ROLLED_BACK: "rolled back: the old version is back",
    Status.INCONSISTENT: "INCONSISTENT: a person is needed",
}
LONGEST = 600  # characters of what happened, and of what to do
SHORT = 12  # characters of a revision
_CHANGING = re.compile(r"[0-9a-f]{6,}|[0-9]+")


@dataclass(frozen=True)
class Condition:
    """Something is wrong: which event that is, in short and at length; about a deployment."""

    event: str
    short: str
    why: str
    remedy: str
    about: str = ""
    deployment: str | None = None

    @property
    def fingerprint(self) -> str:
        """Return what stays the same while this is the same failure."""
        return f"{self.event} {self.about} {_CHANGING.sub('#', self.why)}"


@dataclass(frozen=True)
class Message:
    """What people are told."""

    event: str
    title: str
    body: str


def of_failure(event: str, short: str, failure: View | None) -> Condition | None:
    """Return what a recorded failure is ({why, remedy}); None when there is none."""
    return Condition(event, short, failure["why"], failure["remedy"]) if failure else None


def of_deployment(one: View) -> Condition | None:
    """Return what is wrong after a deployment's end; None if it is well."""
    if one["status"] not in BAD:
        return None
    error, revision = one["error"] or {}, one["revision"] or one["requested_revision"]
    where = f"It failed in {error['step']}: " if error else ""
    return Condition(
        one["status"],
        f"{_what(one)} {BAD[one['status']]}",
        f"{where}{error.get('message', '')}",
        error.get("remedy", ""),
        about=revision or "",
        deployment=one["id"],
    )


def of_late_ci(views: Iterable[View]) -> Condition | None:
    """Return what is wrong when a push waits for a CI run that does not come."""
    late = [one for one in views if one["status"] == Status.QUEUED]
    late = [one for one in late if NONE_CAME in (one["reason"] or "")]
    if not late:
        return None
    one, revision = late[-1], late[-1]["requested_revision"]
    short = f"no CI run came for {revision[:SHORT]}, which waits for it"
    return Condition(CI_MISSING, short, one["reason"], "", about=revision, deployment=one["id"])


def ended(views: Iterable[View]) -> list[View]:
    """Return the deployments that ended in a way that says how the app is, in that order."""
    telling = [one for one in views if one["status"] in (*BAD, Status.SUCCEEDED)]
    return sorted(telling, key=lambda one: (str(one["finished_at"]), str(one["id"])))


def told(app: str, found: Condition, link: str | None) -> Message:
    """Return what people are told of a condition."""
    todo = f"What to do: {_cut(found.remedy)}" if found.remedy else ""
    lines = [_cut(found.why), todo, link or ""]
    return Message(found.event, f"{app}: {found.short}", "\n".join(filter(None, lines)))


def well_again(app: str, was: str, link: str | None) -> Message:
    """Return what people are told when a condition is over."""
    lines = ["It had failed before.", link or ""]
    return Message(RECOVERED, f"{app}: {was} again", "\n".join(filter(None, lines)))


def succeeded(app: str, one: View, link: str | None) -> Message:
    """Return what people are told of a good deployment, if they want that."""
    outage = one["outage_seconds"]
    took = f"It took {one['seconds']:.0f} s" if one["seconds"] is not None else "It is done"
    lines = [f"{took}{f', {outage:.1f} s of them without service' if outage else ''}.", link or ""]
    title = f"{app}: {_what(one)} succeeded"
    return Message(SUCCEEDED, title, "\n".join(filter(None, lines)))


def _what(one: View) -> str:
    revision = (one["revision"] or one["requested_revision"] or "")[:SHORT]
    return f"{one['kind']} of {revision}" if revision else str(one["kind"])


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
