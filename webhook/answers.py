"""What the calls answer, as models: the OpenAPI document is made of them.

The words are DESIGN's, part 6. Nothing is converted by them; tests hold every answer of the
server against the document, also that it says no more than is written here.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from worker.deployment import Status
from worker.requests import Request


class Problem(BaseModel):
    """What went wrong, and what to do about it (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    remedy: str


class Queued(BaseModel):
    """A deployment was queued; `Location` shows it."""

    status: Literal["queued"]
    deployment: str


class Left(BaseModel):
    """It will be done by a worker; the app shows it among its `requests` until then."""

    status: Literal["accepted"]
    app: str
    request: str


class LeftForBackup(Left):
    """The same, about one backup."""

    backup: str


class Cancelling(BaseModel):
    """It will be cancelled before its fence."""

    status: Literal["accepted"]
    deployment: str
    by: str
    at: str


class Cancelled(BaseModel):
    """It was cancelled before."""

    status: Literal["cancelled"]
    deployment: str


class Step(BaseModel):
    """One thing that a deployment did, or does."""

    name: str
    phase: Literal["deploy", "way_back", "after"]
    status: Literal["running", "done", "failed"]
    started_at: str
    seconds: float | None
    facts: dict[str, str | int | float | bool]


class Failure(BaseModel):
    """Why a deployment did not succeed."""

    step: str | None
    message: str
    remedy: str


class Deployment(BaseModel):
    """One attempt to bring one revision of one app into service. Times are RFC 3339, UTC."""

    id: str
    app: str
    kind: Literal["deploy", "rollback", "restore"]
    trigger: Literal["push", "api", "cli", "reconcile", "schedule"]
    by: str | None
    reason: str | None
    delivery: str | None
    requested_revision: str | None
    revision: str | None
    previous_revision: str | None
    message: str | None
    author: str | None
    status: Status
    queued_at: str
    started_at: str | None
    finished_at: str | None
    seconds: float | None
    steps: list[Step]
    backup: str | None
    safety_backup: str | None
    outage_seconds: float | None
    error: Failure | None
    warnings: list[str]
    superseded_by: str | None


class Deployments(BaseModel):
    """A page of deployments, newest first; `next` is the `before` of the next page."""

    deployments: list[Deployment]
    next: str | None


class Running(BaseModel):
    """What runs, since when, and by whom."""

    release: str | None
    revision: str | None
    since: str | None
    by: str | None


class Open(BaseModel):
    """What may say more than is written here."""

    model_config = ConfigDict(extra="allow")


class Hold(Open):
    """Why an app is not deployed by itself."""

    kind: str
    by: str | None
    at: str
    reason: str | None
    head: str | None


class Scheduled(Open):
    """What is done by the clock: when it comes next, last went well, and failed since."""

    cron: str
    next: str
    succeeded_at: str | None
    failed: dict[str, Any] | None


class Sent(Open):
    """What went to a target last, and what failed there since."""

    target: str
    backup: str | None
    at: str | None
    failed: dict[str, Any] | None


class Undone(BaseModel):
    """What was asked for and could not be done."""

    verb: str
    backup: str | None
    at: str
    by: str
    why: str
    remedy: str


class App(BaseModel):
    """What runs of an app. What no worker has looked at yet is left out."""

    app: str
    name: str | None = None
    repository: str
    branch: str
    running: Running | None = None
    head: dict[str, Any] | None = None
    hold: Hold | None = None
    put_off: dict[str, Any] | None = None
    remote: dict[str, Any] | None = None
    last_deployment: Deployment | None
    last_verified_backup: str | None = None
    drill: dict[str, Any] | None = None
    undone: list[Undone] = []
    schedule: dict[Literal["backup", "drill"], Scheduled | None] = {}
    offsite: list[Sent] = []
    ping: Sent | None = None
    github: dict[str, Any] | None = None
    notify: dict[str, Any] | None = None
    requests: list[Request]


class Apps(BaseModel):
    """All apps."""

    apps: list[App]


class Backup(Open):
    """A backup on the server's disk."""

    id: str
    app: str
    kind: str
    why: str | None = None
    deployment: str | None = None
    revision: str | None = None
    created_at: str
    verified_at: str | None
    bytes: int
    documents: int | None = None
    files: int | None = None
    databases: list[str] = []
    warnings: list[str] = []
    damage: str | None = None


class Backups(BaseModel):
    """A page of backups, newest first; `next` is the `before` of the next page."""

    backups: list[Backup]
    next: str | None


class Pong(BaseModel):
    """A ping was answered."""

    status: Literal["pong"]


class Ignored(BaseModel):
    """The delivery is none to deploy."""

    status: Literal["ignored"]
    reason: str


class Duplicate(BaseModel):
    """The delivery came before; this is what it became then."""

    status: Literal["duplicate"]
    deployment: str


class Noted(BaseModel):
    """What CI said of this revision is on disk."""

    status: Literal["noted"]
    revision: str


class Alive(BaseModel):
    """This process answers."""

    status: Literal["alive"]


class Ready(BaseModel):
    """A delivery would be stored safely, and acted on."""

    status: Literal["ready"]
