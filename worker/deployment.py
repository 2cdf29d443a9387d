"""A deployment: one attempt to bring one revision of one app into service.

`Deployment` is what was asked for and never changes. How it goes on is in the
journal; `view` folds both into the one shape that people and programs see.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from worker.clock import parse
from worker.errors import UsageError

ID = re.compile(r"^[0-9]{8}t[0-9]{6}-[0-9a-f]{6}$")
Began = dict[int, Mapping[str, Any]]  # a step's place -> the record of its intent
PERSONS = ("api", "cli")  # triggers that are a person's
_APPROVABLE = {  # facts of the step that refused
    "new_privileges": "the privileges",
    "lost_data": "the lost mounts",
}
REVISION = re.compile(r"^[0-9a-f]{40}([0-9a-f]{24})?$")


class Status(StrEnum):
    """Where a deployment stands; the same words everywhere."""

    QUEUED = "queued"
    RUNNING = "running"
    ROLLING_BACK = "rolling_back"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # before the fence: users saw nothing
    ROLLED_BACK = "rolled_back"
    INCONSISTENT = "inconsistent"  # a person is needed
    SUPERSEDED = "superseded"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (Status.QUEUED, Status.RUNNING, Status.ROLLING_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What was asked for.

    `options` by kind: deploy has `force` and `pull`; rollback has `to` (a
    deployment's id or None) and `data` (keep or restore); restore has `backup`
    (an id or None for the newest) and `only` (mongodb, uploads, env or None).
    """

    id: str
    app: str
    kind: str  # deploy, rollback, restore
    trigger: str  # push, api, cli, reconcile, schedule
    by: str | None
    queued_at: str  # RFC 3339 UTC
    reason: str | None = None
    delivery: str | None = None
    requested_revision: str | None = None
    message: str | None = None
    author: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by_person(self) -> bool:
        """Whether a person asked for it, rather than a push or a look at the remote."""
        return self.trigger in PERSONS

    @property
    def wanted(self) -> str | None:
        """The revision that a person named. A push names what it saw: the head is meant."""
        return self.requested_revision if self.by_person else None

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return the deployment that `as_dict` wrote, also a newer sheetanchor's."""
        return cls(**{name: fields[name] for name in cls.__slots__ if name in fields})


def refused_for(shown: Mapping[str, Any]) -> str:
    """Return, in words, that for which a deployment was refused and which can be approved.

    `shown` is a `view`. Raises UsageError when there is nothing of the kind.
    """
    found = [
        what
        for step in shown["steps"]
        for fact, what in _APPROVABLE.items()
        if step["facts"].get(fact)
    ]
    if shown["status"] != Status.FAILED or not found:
        raise UsageError(
            f"Deployment {shown['id']} ({shown['status']}) was not refused for new privileges"
            " or lost mounts.",
            remedy="Name one that was: its steps list what it asks for.",
        )
    return found[-1]


def new_id(now: datetime) -> str:
    """Return an id like 20261122t143000-3f9a1c: sorts by time, safe as a file name."""
    return f"{now:%Y%m%dt%H%M%S}-{secrets.token_hex(3)}"


def view(deployment: Deployment, records: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return the deployment as API, `--json` and ledger show it.

    `records` are the journal's, oldest first; none means still queued.
    """
    shown = _queued(deployment)
    began: Began = {}
    for record in records:
        _fold(shown, record, began)
    for step in shown["steps"]:
        step["facts"] = _public(step["facts"])
    return shown


def _queued(deployment: Deployment) -> dict[str, Any]:
    asked = deployment.as_dict()
    del asked["options"]
    return {
        **asked,
        "revision": None,
        "previous_revision": None,
        "status": str(Status.QUEUED),
        "started_at": None,
        "finished_at": None,
        "seconds": None,
        "steps": [],
        "backup": None,
        "safety_backup": None,
        "outage_seconds": None,
        "error": None,
        "warnings": [],
        "superseded_by": None,
    }


def _fold(shown: dict[str, Any], record: Mapping[str, Any], began: Began) -> None:
    facts = record.get("facts") or {}
    if record["event"] == "end":
        shown["status"], shown["finished_at"] = facts["status"], record["time"]
        shown["reason"] = facts.get("reason") or shown["reason"]  # why it was skipped
        if shown["started_at"]:
            shown["seconds"] = seconds(next(iter(began.values())), record)
    elif record["step"] != "accept":
        _fold_step(shown, record, facts, began)
    for key in _OF_THE_DEPLOYMENT & facts.keys():
        shown[key] = facts[key]
    shown["warnings"] = shown["warnings"] + list(facts.get("new_warnings", ()))


# Facts of a step or of the end that speak of the whole deployment.
_OF_THE_DEPLOYMENT = frozenset(
    [
        "revision",
        "previous_revision",
        "message",
        "author",
        "backup",
        "safety_backup",
        "outage_seconds",
        "error",
        "superseded_by",
    ]
)


def _fold_step(
    shown: dict[str, Any], record: Mapping[str, Any], facts: Mapping[str, Any], began: Began
) -> None:
    if record["event"] == "intent":
        way_back = record["phase"] == "way_back"
        shown["status"] = str(Status.ROLLING_BACK if way_back else Status.RUNNING)
        shown["started_at"] = shown["started_at"] or record["time"]
        last = shown["steps"][-1] if shown["steps"] else {}
        if (last.get("name"), last.get("phase")) == (record["step"], record["phase"]) and facts:
            last["facts"] = last["facts"] | facts  # a note within the step
            return
        step = {"name": record["step"], "phase": record["phase"], "status": "running"}
        began[len(shown["steps"])] = record
        shown["steps"].append(step | {"started_at": record["time"], "seconds": None, "facts": {}})
        return
    for number, step in reversed([*enumerate(shown["steps"])]):
        if (step["name"], step["phase"]) == (record["step"], record["phase"]):
            step["status"] = record["event"]
            step["seconds"] = seconds(began[number], record)
            step["facts"] = step["facts"] | dict(facts)
            return


def _public(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that people read: plain values. The way back's own are nested."""
    plain = (str, int, float, bool)
    hidden = _OF_THE_DEPLOYMENT | {"new_warnings", "up"}
    return {k: v for k, v in facts.items() if isinstance(v, plain) and k not in hidden}


def seconds(begin: Mapping[str, Any], end: Mapping[str, Any]) -> float:
    """Return the seconds from one record to another.

    Within one boot by a clock that nobody sets; else by what the wall clock said.
    """
    if begin.get("uptime") is not None and begin["boot_id"] == end.get("boot_id"):
        return round(float(end["uptime"]) - float(begin["uptime"]), 3)
    return round((parse(end["time"]) - parse(begin["time"])).total_seconds(), 3)
