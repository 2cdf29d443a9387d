"""Deployments and apps in words, for people. Pure; what prints it escapes it."""

from collections.abc import Iterable, Mapping, Sized
from typing import Any

from worker.cli.output import fields, table

View = Mapping[str, Any]

SHORT = 12  # characters of a revision
NAMED = 5  # files and commits in a line
MESSAGE = 60  # characters of a commit message in a list


def history(views: Iterable[View]) -> list[str]:
    """Return one line a deployment under a headline, or that there is none."""
    rows = [
        (one["id"], one["kind"], one["status"], revision(one["revision"]), *_why(one))
        for one in views
    ]
    if not rows:
        return ["There is no deployment yet."]
    return table([("ID", "KIND", "STATUS", "REVISION", "BY", "MESSAGE"), *rows])


def _why(one: View) -> tuple[str, str]:
    return f"{one['trigger']} {one['by'] or ''}".strip(), (one["message"] or "")[:MESSAGE]


def summary(one: View) -> list[str]:
    """Return how a deployment ended: what a person needs to know first."""
    shown = {
        "status": one["status"],
        "deployment": one["id"],
        "revision": revision(one["revision"]),
        "seconds": one["seconds"],
        "outage": one["outage_seconds"],
        "backup": one["backup"],
        "safety backup": one["safety_backup"],
        "reason": one["reason"],
    }
    return fields(shown) + _troubles(one)


def details(one: View) -> list[str]:
    """Return all of a deployment."""
    shown = {
        "deployment": one["id"],
        "app": one["app"],
        "kind": one["kind"],
        "status": one["status"],
        "revision": one["revision"],
        "asked for": one["requested_revision"],
        "before": one["previous_revision"],
        "message": one["message"],
        "author": one["author"],
        "trigger": one["trigger"],
        "by": one["by"],
        "reason": one["reason"],
        "delivery": one["delivery"],
        "queued": one["queued_at"],
        "started": one["started_at"],
        "finished": one["finished_at"],
        "seconds": one["seconds"],
        "outage": one["outage_seconds"],
        "backup": one["backup"],
        "safety backup": one["safety_backup"],
        "superseded by": one["superseded_by"],
    }
    return fields(shown) + _steps(one) + _troubles(one)


def app(one: View) -> list[str]:
    """Return what runs, whether it is held, and how its containers are."""
    running, hold, last = one["running"], one["hold"], one["last_deployment"]
    again, remote, drill = one["put_off"], one["remote"], one["drill"] or {}
    scheduled = one["schedule"]["backup"] or {}
    shown = {
        "app": f"{one['name']} ({one['repository']}, {one['branch']})",
        "runs": revision(running["revision"]) or "nothing that sheetanchor deployed",
        "since": running["since"],
        "by": running["by"],
        "hold": f"{hold['kind']} since {hold['at']}: {hold['reason']}" if hold else "none",
        "asked for": "; ".join(f"{a['verb']} by {a['by']}, at {a['at']}" for a in one["requests"]),
        "tried again": f"after {again['until']}: {again['reason']}" if again else None,
        "remote": f"does not answer since {remote['since']}: {remote['why']}" if remote else None,
        "last deployment": _last(last) if last else "none",
        "last verified backup": one["last_verified_backup"] or "none",
        "next backup": scheduled.get("next"),
        "backup failed": _failed(scheduled.get("failed")),
        "last drill": _drill(drill) or "none passed yet",
        "drill failed": _failed(drill.get("failed")),
        "not done": "; ".join(map(_undone, one["undone"])),
        "next drill": (one["schedule"]["drill"] or {}).get("next"),
        "github": _failed((one["github"] or {}).get("failed")),
    }
    more = _offsite(one) + _notices(one["notify"] or {}) + _set_aside(one["set_aside"])
    return fields(shown) + more + containers(one["containers"])


def _last(one: View) -> str:
    """Return the newest deployment in a line; of one that waits also why."""
    why = f": {one['reason']}" if one["status"] == "queued" and one["reason"] else ""
    return f"{one['id']} {one['kind']} {one['status']}{why}"


def _set_aside(refs: Iterable[View]) -> list[str]:
    """Return where a person's work is that a deployment took out of the checkout."""
    rows = [
        (f"  git show {one['ref']}", ", ".join(one["holds"][:NAMED]), _more(one["holds"]))
        for one in refs
    ]
    if not rows:
        return []
    return ["set aside in the checkout (`git update-ref -d REF` lets it go):", *table(rows)]


def _more(names: Sized) -> str:
    return f"and {len(names) - NAMED} more" if len(names) > NAMED else ""


def _offsite(of_app: View) -> list[str]:
    """Return what each target, and the ping, got last, and what failed there since."""
    there = [*of_app["offsite"], *filter(None, [of_app["ping"]])]
    rows = [(f"  {one['target']}", _sent(one)) for one in there]
    return ["offsite:", *table(rows)] if rows else []


def _notices(of_app: View) -> list[str]:
    """Return which targets of notifications failed."""
    rows = [
        (f"  {name}", f"FAILED {_failed(why)}") for name, why in of_app.get("failed", {}).items()
    ]
    return ["notify:", *table(rows)] if rows else []


def _sent(one: View) -> str:
    last = f"{one['backup']} at {one['at']}" if one["at"] else "nothing yet"
    failure = one["failed"]
    again = f" Next try: {one['retry_at']}" if one["retry_at"] else ""
    return f"{last}; FAILED {_failed(failure)}{again}" if failure else last


def _drill(one: View) -> str | None:
    if not one.get("passed_at"):
        return None
    took = f"a restore takes {one['restore_seconds']:.1f} s"
    return f"passed at {one['passed_at']} with {one['backup']}: {took}"


def _undone(failure: View) -> str:
    about = f"{failure['verb']} {failure['backup'] or ''}".rstrip()
    return f"{about}, asked by {failure['by']}: {_failed(failure)}"


def _failed(failure: View | None) -> str | None:
    return f"at {failure['at']}: {failure['why']} {failure['remedy']}" if failure else None


def containers(there: Iterable[View] | None) -> list[str]:
    """Return one line a container."""
    if there is None:
        return ["containers: unknown"]
    rows = [(f"  {one['name']}", one["status"], one["health"], one["image"]) for one in there]
    return ["containers:" if rows else "containers: none", *table(rows)]


def revision(full: str | None) -> str | None:
    """Return a revision as people read it."""
    return full[:SHORT] if full else None


def _steps(one: View) -> list[str]:
    rows = [(f"  {_name(step)}", step["status"], step["seconds"]) for step in one["steps"]]
    return ["steps:", *table(rows)] if rows else []


def _name(step: View) -> str:
    return f"way back: {step['name']}" if step["phase"] == "way_back" else str(step["name"])


def _troubles(one: View) -> list[str]:
    lines = [f"warning: {warning}" for warning in one["warnings"]]
    if error := one["error"]:
        lines += [f"failed in {error['step']}: {error['message']}", f"  {error['remedy']}"]
    return lines
