"""The app's data, as steps speak of it: back it up, tell what differs, put it back."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from worker.adapters.git import Checkout
from worker.adapters.mongo_server import Reading
from worker.backups import catalogue, difference, proof
from worker.backups import make as making
from worker.backups import restore as restoring
from worker.backups.catalogue import Backup
from worker.backups.source import Source
from worker.clock import Clock
from worker.config import App
from worker.errors import BackupError, CommandError, GuardError, RestoreError
from worker.steps import lend
from worker.steps.attempt import Attempt, Facts

if TYPE_CHECKING:
    from worker.adapters.mongo import Mongo

READ_BACK = 0.3  # of a backup's time at most: reading it back, linked files too
CHOICES = (
    'Raise backup.max_pause, or set consistency = "live": then the app is not stopped for its'
    " backup, and what it writes after that is set aside by a restore."
)
Readings = Mapping[str, Reading]


@dataclass(frozen=True)
class Made:
    """A backup that was just made."""

    id: str
    bytes: int
    seconds: float
    warnings: list[str]
    torn: str  # why it is not of one moment; empty when it is


def source(attempt: Attempt) -> Source:
    """Return what of the app is backed up and restored."""
    return source_of(attempt.app, attempt.mongo, attempt.clock)


def source_of(app: App, mongo: "Mongo | None", clock: Clock) -> Source:
    """Return an app's data, where it lives now."""
    there = tuple(path for path in config_files(app) if path.is_file())
    return Source(app=app, mongo=mongo, clock=clock, config_files=there)


def _target(attempt: Attempt) -> Source:
    """Return what a restore may write: an env file that was lost, too."""
    app = attempt.app
    return Source(app=app, mongo=attempt.mongo, clock=attempt.clock, config_files=config_files(app))


def config_files(app: App) -> tuple[Path, ...]:
    """Return the env file, and every untracked file that the Compose files name.

    An env file that is lost is named, too: a restore brings it back.
    """
    found = lend.named((app.checkout,), app.compose_files, app.env_path)
    names = [str(path) for path in found]
    checkout = Checkout(app.checkout, app.branch, app.clone_url)
    try:
        tracked = set(checkout.tracked("HEAD", names)) if checkout.exists() else set()
    except CommandError:  # a clone without a commit tracks nothing
        tracked = set()
    own = [app.env_path] if app.env_path else []
    others = [app.checkout / name for name in names if name not in tracked]
    return tuple(dict.fromkeys([*own, *others]))


def lost(app: App, backup: Backup) -> list[Path]:
    """Return the config files of a backup that the checkout has not: they come back, too.

    Raises RestoreError for one that a link would lead out of the checkout: nobody named it
    but the backup's own manifest.
    """
    inside = [entry.path for entry in backup.manifest().files if entry.type == "file"]
    names = [Path(path).relative_to("config") for path in inside if path.startswith("config/")]
    kept = [name for name in names if name.parts[0] != "_elsewhere" and ".." not in name.parts]
    gone = [app.checkout / name for name in kept if not (app.checkout / name).exists()]
    for path in gone:
        if not path.resolve().is_relative_to(app.checkout.resolve()):
            raise RestoreError(
                f"{path} of the backup {backup.id} would be written to {path.resolve()}, outside "
                f"of {app.checkout}. Nothing was touched.",
                remedy="Remove the link on the way to it, or restore with --only mongodb.",
            )
    return gone


def back_up(
    attempt: Attempt, kind: str, *, previous: str | None, limit: float | None = None
) -> Made:
    """Make and verify a backup of this kind, linked to a previous one where nothing changed.

    With `limit` it is given up after that many seconds. Raises BackupError, and
    CancelledError when a person no longer wants the deployment.
    """
    began = attempt.clock.monotonic()

    def report(line: str) -> None:
        attempt.say(line)
        attempt.refuse_cancelled()
        if limit is not None and attempt.clock.monotonic() - began > limit:
            raise BackupError(
                "The backup took longer than the app may be stopped (max_pause).",
                remedy=CHOICES,
            )

    made = making.make(
        source(attempt),
        kind=kind,
        deployment=attempt.id,
        revision=attempt.fact("preflight", "head")["revision"],
        images={one.service: one.image for one in attempt.before},
        why=f"{kind} of {attempt.deployment.kind} {attempt.id}",
        previous=find(attempt, previous) if previous else None,
        report=report,
    )
    seconds = round(attempt.clock.monotonic() - began, 3)
    torn = "" if made.one_moment else made.one_moment_why
    if torn:
        attempt.say(f"{made.id} is not of one moment: {torn}")
    return Made(made.id, made.bytes, seconds, list(made.warnings), torn)


def newest(attempt: Attempt) -> str | None:
    """Return the newest verified backup, to link to; None when there is none."""
    there = catalogue.backups(attempt.app.backup_dir, attempt.app.name)
    found = catalogue.newest_verified(there)
    return found.id if found else None


def readings(attempt: Attempt) -> Readings:
    """Return the write counters of every collection but expiring ones."""
    return proof.readings(attempt.mongo) if attempt.mongo else {}


def written_since(attempt: Attempt, before: Readings) -> list[str]:
    """Return the collections that were written since `readings`."""
    return proof.fence_writers(before, readings(attempt))


def find(attempt: Attempt, backup: str) -> Backup:
    """Return one of the app's backups. Raises NotFoundError."""
    return catalogue.find(attempt.app.backup_dir, attempt.app.name, backup)


def expected_seconds(attempt: Attempt) -> float:
    """Return how long the fence's backup will take: the first one's share that changed."""
    mongo = attempt.mongo
    if mongo is None:
        return 0.0
    first = find(attempt, attempt.fact("backup", "backup")).manifest()
    moment, whole, changed = proof.now(attempt.clock), 0, 0
    for database in mongo.databases:
        entries = first.databases.get(database, {})
        there = [one for one in mongo.collections(database) if one.name in entries]
        known = [one for one in there if one.type == "collection"]
        now = mongo.readings(known)
        for collection in known:
            entry = entries[collection.name]
            whole += entry.bytes
            if not proof.unchanged(entry, collection, now[collection.namespace], moment):
                changed += entry.bytes
    took = float(attempt.fact("backup", "backup_seconds"))
    share = changed / whole if whole else 0.0
    return took * (READ_BACK + (1 - READ_BACK) * share)


def baseline(attempt: Attempt) -> str | None:
    """Return the backup that this phase's restore puts back; None when there is nothing to."""
    kind = attempt.deployment.kind
    if attempt.going_back:
        if kind == "restore":  # without a safety backup nothing differed, and nothing was done
            aside: str | None = attempt.fact("safety", "safety_backup")
            return aside
        return str(attempt.fact("fence", "backup"))
    if kind == "restore":
        return str(attempt.fact("preflight", "restore_from"))
    return _of_the_left_deployment(attempt)


def _of_the_left_deployment(attempt: Attempt) -> str:
    """Return the fence backup of the deployment that a rollback with data leaves."""
    running = attempt.decisions.read()["running"] or {}
    left = running.get("release")
    there = catalogue.backups(attempt.app.backup_dir, attempt.app.name)
    for backup in there:
        if backup.kind == "fence" and backup.deployment == left:
            return backup.id
    raise GuardError(
        f"The fence backup of deployment {left} is not there any more.",
        remedy="Roll back with --data keep, or restore another backup.",
    )


def differs(attempt: Attempt, backup: str) -> str:
    """Return what of the live data differs from a backup, in a few words; empty if nothing."""
    manifest = find(attempt, backup).manifest()
    found = difference.difference(_target(attempt), manifest, report=attempt.say)
    return found.summary() if found else ""


def set_aside(attempt: Attempt) -> Facts:
    """Make a safety backup of the data as it is now, if a restore would overwrite any of it."""
    kept = baseline(attempt)
    found = differs(attempt, kept) if kept else ""
    if not found:
        return {"differs": False}
    attempt.say(f"setting aside what differs: {found}")
    made = back_up(attempt, "safety", previous=kept)
    return {"differs": True, "safety_backup": made.id, "what": found}


def put_back(attempt: Attempt, backup: str | None, *, only: str | None) -> Facts:
    """Make the live data what the backup holds. Raises RestoreError."""
    if backup is None:
        return {"what": "nothing was to be put back", "env_restored": False}
    chosen, target = find(attempt, backup), _target(attempt)
    target = replace(target, config_files=(*target.config_files, *lost(attempt.app, chosen)))
    result = restoring.restore(target, chosen, only=only, report=attempt.say)
    attempt.say(result.summary())
    return {
        "restored": backup,
        "what": result.summary(),
        "env_restored": bool(result.difference.config),
        "new_warnings": list(result.warnings),
    }
