"""What a deploy would do now: judged by the deployment's own first steps, then forgotten.

Preflight and pull run as they would, so that a guard can never differ from the
deployment's. The danger is what they leave behind: their folders are removed,
and nothing is built, stopped, tagged, decided or journalled. The caller holds
the app's lock: a deployment's own Git commands would collide with these.
"""

import shutil
from collections.abc import Iterable, Mapping, Set
from statistics import median
from typing import Any

from worker.adapters.containers import Container
from worker.backups import counted
from worker.errors import HeldError, SheetanchorError, SkippedError
from worker.journal import journals
from worker.release import Release, replicas, with_other_contents
from worker.steps import fence, health, preflight, present, pull
from worker.steps.attempt import Attempt

NAMED = 20  # changed files, and commits, that are named
PAST = 10  # deployments whose times are looked at

Forecast = dict[str, Any]


def forecast(attempt: Attempt) -> Forecast:
    """Return what `attempt` would do, with `verdict`: deploys, skipped, held or refused."""
    if not attempt.checkout.exists():
        return {"verdict": "deploys", "why": "The checkout would be cloned first."}
    try:
        attempt.facts["deploy.preflight"] = preflight.run(attempt)
        attempt.facts["deploy.pull"] = pull.run(attempt)
        fence.nobody_in_the_way(attempt)
        found = {"verdict": "deploys", "why": None, "last_backup": last_backup(attempt)}
        return {**found, **_known(attempt), **_services(attempt)}
    except SheetanchorError as error:
        found = {"verdict": _verdict(error), "why": error.message}
        return {**found, "remedy": _remedy(attempt, error), **_known(attempt)}
    finally:
        _forget(attempt)


def _verdict(error: SheetanchorError) -> str:
    if isinstance(error, HeldError):
        return "held"
    return "skipped" if isinstance(error, SkippedError) else "refused"


def _remedy(attempt: Attempt, error: SheetanchorError) -> str:
    """Return what to do; a plan's own id is nobody's to approve, as it is not journalled."""
    if attempt.id not in error.remedy:
        return error.remedy
    return f"{error.remedy.replace(attempt.id, 'ID')} Deploy first: its refusal names the ID."


def _known(attempt: Attempt) -> Forecast:
    """Return what the steps that went well have found; None for what nobody looked at."""
    names = ("revision", "previous_revision", "message", "author")
    found = {name: attempt.fact("preflight", name) for name in names}
    changed = attempt.fact("pull", "changed", [])
    steps = ("preflight", "pull")
    found["warnings"] = [one for step in steps for one in attempt.fact(step, "new_warnings", [])]
    found["space"] = [one["text"] for one in attempt.fact("preflight", "space", [])]
    found |= {"files_changed": attempt.fact("pull", "files_changed"), "files": changed[:NAMED]}
    return {**found, **_commits(attempt), **ways_back(attempt), **past(attempt)}


def _commits(attempt: Attempt) -> Forecast:
    """Return the commits since what runs, newest first, and the work of a person's that moves."""
    running, revision = (
        attempt.fact("preflight", name) for name in ("previous_revision", "revision")
    )
    known = revision and running and attempt.checkout.has_ref(running)
    commits = attempt.checkout.commits(running, revision) if known else []
    own = [*attempt.fact("pull", "own_commits", ()), *attempt.fact("pull", "branch_commits", ())]
    edited = attempt.checkout.edited("HEAD", without=attempt.left_alone) if revision else []
    return {
        "commits_new": len(commits) if known else None,
        "commits": commits[:NAMED],
        "would_be_kept_aside": {"commits": own, "files": edited[:NAMED]},
    }


def ways_back(attempt: Attempt) -> Forecast:
    """Return the revision to go back to, and for how long writes could be set aside.

    Seconds from the new version's start to its commit at the latest; None when
    the way back leaves the data as it is.
    """
    app = attempt.app
    longest = health.limit(app.health, attempt.before)
    return {
        "returns_to": attempt.fact("preflight", "previous_revision"),
        "could_set_aside_seconds": longest if app.rollback.data == "restore" else None,
    }


def last_backup(attempt: Attempt) -> str:
    """Return of which moment the backup is that a way back restores, and what it lacks."""
    app, mongo = attempt.app, attempt.mongo
    if app.backup.consistency == "quiesce":
        pause = f"at most {app.backup.max_pause:g} s"
        return f"Of one moment: the app stands still for it, {pause}. It lacks nothing."
    lacks = "It lacks what the old version writes from then until its stop; a restore sets it aside"
    if mongo is None or mongo.server().snapshots:
        return f"Of one moment; the app is not stopped for it. {lacks}."
    return f"Of one moment only if nothing is written meanwhile ({counted.REMEDY}). {lacks}."


def _services(attempt: Attempt) -> Forecast:
    """Return the services by what happens to their containers.

    An image is not built here, so a service whose settings stay is `may_be_recreated` if
    it has a `build`, or binds a path: it is if the image, or a tracked file there, differs.
    """
    folder = attempt.state.releases / attempt.id
    project = attempt.fact("preflight", "project")
    new = Release(attempt.id, attempt.fact("preflight", "revision"), project, folder, {})
    hashes = attempt.compose.hashes(new.model_path, attempt.app.checkout, attempt.before)
    model, old = new.model(), attempt.old_release()
    live = attempt.app.backup.consistency == "live"  # else all are stopped and started
    other = with_other_contents(old.model(), model) if old and live else set()
    return {"services": sorted_out(hashes, model["services"], attempt.before, other)}


def sorted_out(
    hashes: present.Hashes,
    services: dict[str, Any],
    there: Iterable[Container],
    other: Set[str],
) -> dict[str, list[str]]:
    """Return `created`, `recreated`, `may_be_recreated`, `kept` and `removed` services.

    `other`: those that Compose would keep, and that get another config or secret inside.
    """
    now = {one.service: one.config_hash for one in there}
    wanted = {service for service in hashes if replicas(services[service])}
    found: dict[str, list[str]] = {
        "created": sorted(wanted - set(now)),
        "removed": sorted(set(now) - set(hashes)),
        "recreated": sorted(
            one for one in hashes if one in now and (hashes[one] != now[one] or one in other)
        ),
    }
    same = sorted(one for one in hashes if hashes[one] == now.get(one) and one not in other)
    found["may_be_recreated"] = [one for one in same if not _settled(services[one])]
    return found | {"kept": [one for one in same if _settled(services[one])]}


def _settled(service: dict[str, Any]) -> bool:
    """Whether nothing but settings can replace it: no build, and no mounted file of ours."""
    binds = [one for one in service.get("volumes") or () if one["type"] == "bind"]
    return not (service.get("build") or binds)


def past(attempt: Attempt) -> Forecast:
    """Return the medians of the last deployments; None before the first."""
    found = [one.records() for one in journals(attempt.state.journals, attempt.clock)[-PAST:]]
    done = [record for records in found for record in records if record["event"] == "done"]
    ends = [records[-1]["facts"] for records in found if records]
    backups = [record["facts"] for record in done if record["step"] == "backup"]
    return {
        "expected_backup_bytes": _whole(_median(backups, "bytes")),
        "expected_backup_seconds": _median(backups, "backup_seconds"),
        "expected_outage_seconds": _median(ends, "outage_seconds"),
    }


def _median(facts: Iterable[Mapping[str, Any]], name: str) -> float | None:
    found = [one[name] for one in facts if one.get(name) is not None]
    return round(median(found), 1) if found else None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _forget(attempt: Attempt) -> None:
    """Remove what the steps wrote for this attempt alone."""
    releases = attempt.state.releases
    for folder in (attempt.work, releases / attempt.id, releases / f"{attempt.id}-before"):
        if folder.exists():
            shutil.rmtree(folder)
