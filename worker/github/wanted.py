"""What GitHub should show: of each revision a commit status, of each deployment its state. Pure.

It follows from what there is now, never from what happened in between, so an old `pending`
cannot come after a `success`. A revision shows what became of it last: a redelivery that is
skipped hides no failure, and who was superseded fares as the one who took over.

A public repository shows these texts to everybody: no error, reason or name is in them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.decisions import IS_HELD
from worker.deployment import PERSONS, REVISION, Status

View = Mapping[str, Any]
Views = Mapping[str, View]
Wanted = dict[str, dict[str, Any]]

KINDS = ("deploy", "rollback")  # a restore brings no revision
IDLE = (Status.SKIPPED, Status.CANCELLED, Status.SUPERSEDED)  # nothing was brought
INACTIVE = "inactive"
HELD = "held"  # no status of ours: skipped, and its revision still waits

STATES = {  # ours -> of a commit status, of a deployment, in words
    Status.QUEUED: ("pending", "queued", "Waits to be deployed."),
    Status.RUNNING: ("pending", "in_progress", "Is being deployed."),
    Status.ROLLING_BACK: ("pending", "in_progress", "Failed; the old version is being put back."),
    Status.SUCCEEDED: ("success", "success", "Deployed."),
    Status.FAILED: ("failure", "failure", "Failed before anything was touched."),
    Status.ROLLED_BACK: ("failure", "failure", "Failed; the old version is back."),
    Status.INCONSISTENT: ("error", "error", "Failed, and so did the way back: see the server."),
    Status.SKIPPED: ("success", INACTIVE, "Skipped: there is nothing to deploy."),
    Status.CANCELLED: ("error", INACTIVE, "Cancelled."),
    Status.SUPERSEDED: ("error", INACTIVE, "A newer push took its place."),
    HELD: ("pending", INACTIVE, "Waits: the app is held."),
}


@dataclass(frozen=True)
class Links:
    """Where people look: at sheetanchor and at the app; None where that is not known."""

    server: str | None
    app: str | None

    def log(self, deployment: str) -> str | None:
        """Return the address of a deployment's log."""
        return f"{self.server}/api/v1/deployments/{deployment}/log" if self.server else None


def statuses(app: str, views: Views, since: str, links: Links) -> Wanted:
    """Return revision -> the commit status that it should have, oldest first.

    Only of revisions that something was asked about `since` then.
    """
    about: dict[str, list[View]] = {}
    for one in _told(views):
        for revision in _revisions(one):
            about.setdefault(revision, []).append(_fate(one, views))
    new = {revision for one in _new(views, since) for revision in _revisions(one)}
    return {
        revision: _status(app, _last(some), links)
        for revision, some in about.items()
        if revision in new
    }


def deployments(views: Views, since: str, links: Links) -> Wanted:
    """Return key -> the state that a GitHub deployment should have, oldest first.

    A GitHub deployment is of one revision: one of ours that found a newer head has two.
    """
    found: Wanted = {}
    for one in _new(views, since):
        _, state, words = _state(one)
        *others, brought = _revisions(one) or [""]
        for other in others:
            found[key(one["id"], other)] = _deployment(one, other, INACTIVE, words, links)
        if brought:
            found[key(one["id"], brought)] = _deployment(one, brought, state, words, links)
    return found


def key(deployment: str, revision: str) -> str:
    """Return what names a GitHub deployment here."""
    return f"{deployment}:{revision}"


def _told(views: Views) -> Iterable[View]:
    return (one for one in views.values() if one["kind"] in KINDS)


def _new(views: Views, since: str) -> Iterable[View]:
    return (one for one in _told(views) if one["queued_at"] >= since)


def _revisions(one: View) -> list[str]:
    """Return what it was asked for, then what it brings, where these are revisions."""
    asked = one["requested_revision"]
    named = [asked] if one["trigger"] not in PERSONS or one["revision"] is None else []
    found = dict.fromkeys([*named, one["revision"]])
    return [revision for revision in found if revision and REVISION.fullmatch(revision)]


def _fate(one: View, views: Views) -> View:
    """Return the deployment whose end is also this one's: it took over."""
    while one["status"] == Status.SUPERSEDED and one["superseded_by"] in views:
        one = views[one["superseded_by"]]
    return one


def _last(some: list[View]) -> View:
    brought = [one for one in some if one["status"] not in IDLE]
    return (brought or some)[-1]


def _state(one: View) -> tuple[str, str, str]:
    held = one["status"] == Status.SKIPPED and (one["reason"] or "").startswith(IS_HELD)
    return STATES[HELD if held else Status(one["status"])]


def _status(app: str, one: View, links: Links) -> dict[str, Any]:
    state, _, words = _state(one)
    target = links.log(one["id"])
    return {
        "state": state,
        "context": f"deploy/{app}",
        "description": words,
        **({"target_url": target} if target else {}),
    }


def _deployment(one: View, revision: str, state: str, words: str, links: Links) -> dict[str, Any]:
    log = links.log(one["id"])
    return {
        "deployment": one["id"],
        "revision": revision,
        "status": {
            "state": state,
            "description": words,
            **({"log_url": log} if log else {}),
            **({"environment_url": links.app} if links.app else {}),
        },
    }
