"""Trips when a healthy version has lost data: counts against the fence's.

Not for TTL and capped collections, ones under 100 documents, and those in
`ignore_collections`. `force` waives it.
"""

from worker.adapters import disk
from worker.errors import HealthError
from worker.steps import data
from worker.steps.attempt import Attempt

WORTH_WATCHING = 100  # documents


def check(attempt: Attempt) -> None:
    """Raise HealthError when a collection or the uploads shrank beyond `allowed_shrink`."""
    if attempt.deployment.options.get("force") or attempt.deployment.kind != "deploy":
        return
    allowed = attempt.app.health.allowed_shrink
    for what, before, now in _counts(attempt, allowed):
        if _shrank(before, now, allowed):
            raise HealthError(
                f"{what} shrank from {before} to {now}, more than {allowed:.0%}.",
                remedy="If that is meant, deploy with --force, or add it to"
                " health.ignore_collections.",
            )


def _shrank(before: int, now: int, allowed: float) -> bool:
    return before >= WORTH_WATCHING and now < before * (1 - allowed)


def _counts(attempt: Attempt, allowed: float) -> list[tuple[str, int, int]]:
    """Return name, count at the fence, count now."""
    fence = data.find(attempt, attempt.fact("fence", "backup")).manifest()
    mongo, ignored = attempt.mongo, attempt.app.health.ignore_collections
    found = []
    for database in mongo.databases if mongo else ():
        now = {one.name: one for one in mongo.collections(database)} if mongo else {}
        for name, entry in fence.databases.get(database, {}).items():
            if entry.type != "collection" or entry.ttl or entry.capped or name in ignored:
                continue
            count = mongo.reading(now[name]).documents if mongo and name in now else 0
            if mongo and name in now and _shrank(entry.documents, count, allowed):
                count = mongo.count(now[name])  # before anybody is blamed
            found.append((f"collection {database}.{name}", entry.documents, count))
    files = sum(entry.type == "file" for entry in fence.files if entry.path.startswith("uploads/"))
    here = sum(map(disk.count_files, attempt.app.upload_paths))
    return [*found, ("the number of uploads", files, here)]
