"""What a deploy would do now: judged by the deployment's own first steps, then forgotten.

Preflight and pull run as they would, so that a guard can never differ from the
deployment's. The danger is what they leave behind: their folders are removed,
and nothing is built, stopped, tagged, decided or journalled. The caller holds
the app's lock: a deployment's own Git commands would collide with these.
"""

import shutil
from collections.abc import Iterable, Set
from statistics import median
from typing import Any

from worker.adapters.containers import Container
from worker.errors import HeldError, SheetanchorError, SkippedError
from worker.journal import journals
from worker.release import Release, replicas, with_other_contents
from worker.steps import preflight, present, pull
from worker.steps.attempt import Attempt

FILES = 20  # changed files that are named
PAST = 10  # deployments whose outage is looked at

Forecast = dict[str, Any]


def forecast(attempt: Attempt) -> Forecast:
    """Return what `attempt` would do, with `verdict`: deploys, skipped, held or refused."""
    if not attempt.checkout.exists():
        return {"verdict": "deploys", "why": "The checkout would be cloned first."}
    try:
        attempt.facts["deploy.preflight"] = preflight.run(attempt)
        attempt.facts["deploy.pull"] = pull.run(attempt)
        return {"verdict": "deploys", "why": None, **_known(attempt), **_services(attempt)}
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
    """Return what the steps that went well have found."""
    names = ("revision", "previous_revision", "message", "author")
    found = {name: attempt.fact("preflight", name) for name in names}
    changed = attempt.fact("pull", "changed", [])
    steps = ("preflight", "pull")
    found["warnings"] = [one for step in steps for one in attempt.fact(step, "new_warnings", [])]
    return {**found, "files_changed": len(changed), "files": changed[:FILES]} | _outage(attempt)


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


def _outage(attempt: Attempt) -> Forecast:
    """Return the median outage of the last deployments in seconds; None for the first."""
    past = journals(attempt.state.journals, attempt.clock)[-PAST:]
    ends = [record["facts"] for one in past for record in one.records()[-1:]]
    seconds = [one["outage_seconds"] for one in ends if one.get("outage_seconds") is not None]
    return {"expected_outage_seconds": median(seconds) if seconds else None}


def _forget(attempt: Attempt) -> None:
    """Remove what the steps wrote for this attempt alone."""
    releases = attempt.state.releases
    for folder in (attempt.work, releases / attempt.id, releases / f"{attempt.id}-before"):
        if folder.exists():
            shutil.rmtree(folder)
