"""After a deployment's end: removes what nobody needs, shows what there is.

Everything here can be left out, or run twice, and no deployment depends on it.
It never touches what the running or the previous release needs.
"""

import logging
import shutil
from typing import Any

from worker import asides, durable
from worker.adapters.engine import Engine
from worker.backups import catalogue, drilled, old, retention, seen, undone
from worker.backups.catalogue import Backup
from worker.backups.losses import lost_most
from worker.clock import Clock, SystemClock
from worker.config import App
from worker.decisions import Decisions
from worker.deployment import Status, view
from worker.errors import StepError
from worker.github.told import Told
from worker.journal import Journal
from worker.ledger import Ledger
from worker.notify.outbox import Outbox
from worker.outgoing import PING, Outgoing
from worker.schedule import Schedule
from worker.state import State

IDLE = (Status.FAILED, Status.SKIPPED, Status.CANCELLED)  # all of them before the fence

log = logging.getLogger(__name__)


def tidy(app: App, state: State, engine: Engine, clock: Clock) -> None:
    """Remove what nobody needs: work folders, partial and expired backups, releases, refs.

    The caller holds the app's lock.
    """
    for work in state.works.iterdir():
        shutil.rmtree(work)
    prune(app, state, clock)
    kept = _releases(app, state, engine, _needed(state))
    if gone := asides.prune(app, state, clock, kept):
        log.info("refs.removed", extra={"app": app.name, "refs": gone})
    state.reserve.refill()


def prune(app: App, state: State, clock: Clock) -> list[str]:
    """Remove partial and expired backups; return the ids of the latter.

    The caller holds the app's lock.
    """
    catalogue.clean_partial(app.backup_dir, app.name)
    there = catalogue.backups(app.backup_dir, app.name)
    removed = retention.prune(app.backup_dir, app.name, expired(app, state, clock))
    seen.look(state.seen_backups, app, {one.id for one in there}, removed)
    return removed


def expired(app: App, state: State, clock: Clock) -> list[Backup]:
    """Return the backups that nobody needs any more, oldest first. Only looks."""
    there = catalogue.backups(app.backup_dir, app.name)
    held = needed_backups(app, state)
    keep, days = app.backup.keep, app.backup.keep_safety
    idle = {one.id for one in there if one.kind == "pre-deploy" and _was_idle(one, state, clock)}
    return retention.expired(there, keep, days, clock.now(), held, idle=idle, lost=lost_most)


def needed_backups(app: App, state: State) -> set[str]:
    """Return the ids of the backups that the running and the previous release need."""
    needed = _needed(state)
    there = catalogue.backups(app.backup_dir, app.name)
    return {one.id for one in there if one.deployment in needed}


def _was_idle(backup: Backup, state: State, clock: Clock) -> bool:
    """Return whether the backup's deployment ended before its fence: it changed nothing."""
    journal = Journal(state.journals / f"{backup.deployment}.jsonl", clock)
    asked, records = journal.deployment(), journal.records()
    return asked is not None and view(asked, records)["status"] in IDLE


def _needed(state: State) -> set[Any]:
    """Return the releases, and so the deployments, that a way back needs."""
    running = Decisions(state.decisions).read()["running"] or {}
    return {running.get("release"), running.get("previous_release")} - {None}


def _releases(app: App, state: State, engine: Engine, needed: set[Any]) -> set[Any]:
    """Keep the newest complete releases, and return them; the others' folders and pins go."""
    complete = [folder for folder in state.releases.iterdir() if (folder / "images.json").exists()]
    newest = sorted(folder.name for folder in complete)[-app.rollback.keep_releases :]
    kept = {*newest, *needed}
    for folder in state.releases.iterdir():
        if folder.name not in kept:
            shutil.rmtree(folder)
    for tag in engine.tags(f"sheetanchor/{app.name}"):
        if not any(tag.rpartition(":")[2].startswith(f"{release}-") for release in kept):
            _let_go(engine, tag)
    return kept


def _let_go(engine: Engine, tag: str) -> None:
    try:
        engine.untag(tag)
    except StepError as error:  # somebody else's container uses the image
        log.info("pin.kept", extra={"tag": tag, "why": error.message})


def show(app: App, state: State, ledger: Ledger) -> None:
    """Write what runs and which backups there are into the ledger."""
    backups = [one.summary() for one in old.everything(app.backup_dir, app.name)]
    ledger.put_backups(app.name, backups)
    ledger.put_app(app.name, summary(app, state, backups))


def summary(app: App, state: State, backups: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what people see of an app."""
    decided = Decisions(state.decisions).read()
    running = decided["running"] or {}
    usual = [one for one in backups if one["kind"] != "safety"]
    verified = [one["id"] for one in usual if one.get("verified_at")]
    return {
        "name": app.name,
        "repository": app.repository,
        "branch": app.branch,
        "running": {key: running.get(key) for key in ("release", "revision", "since", "by")},
        "head": decided["head"],
        "hold": decided["hold"],
        "put_off": decided["put_off"],
        "remote": _remote(state),
        "last_verified_backup": verified[0] if verified else None,
        "drill": drilled.read(state.drill),
        "undone": _undone(state, backups),
        "schedule": Schedule.of(app, state, SystemClock()).view(),
        **_outgoing(app, state),
        "github": Told(state.github, SystemClock()).view(),
        "notify": Outbox(state.notices, SystemClock()).view(),
    }


def _undone(state: State, backups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what was asked for and could not be done, but of backups that went."""
    there = {None, *(one["id"] for one in backups)}
    failed = [*undone.read(state.undone), *undone.read(state.undone_orders)]
    return [one for one in failed if one["backup"] in there]


def _outgoing(app: App, state: State) -> dict[str, Any]:
    """Return what each target got last, and when the watcher was told last."""
    shown = Outgoing.of(app, state, SystemClock()).view()
    pings = [one for one in shown if one["target"] == PING]
    return {
        "offsite": [one for one in shown if one not in pings],
        "ping": pings[0] if pings else None,
    }


def _remote(state: State) -> dict[str, Any] | None:
    """Return since when the remote does not answer and why, or None."""
    note: dict[str, Any] | None = durable.read_json(state.remote)
    return note
