"""The moment the old containers are stopped, and a whole backup of that moment.

The backup reads again only what changed since the pre-deploy one and links the
rest. What the old version acknowledged up to the stop is in it. With
`consistency = "live"` the second backup is made without the stop: but for a roll-back that
puts the data back, which nobody may write meanwhile.
"""

from worker.clock import rfc3339
from worker.errors import GuardError
from worker.steps import data, git_folder, guards, layers, pinned, quiet
from worker.steps.attempt import Attempt, Facts


def run(attempt: Attempt) -> Facts:
    """Return the fence's backup, and since when the app is stopped."""
    limit = attempt.app.backup.max_pause
    first = attempt.fact("backup", "backup")
    if _serves_on(attempt):
        made = data.back_up(attempt, "fence", previous=first)
        torn = f"The backup that a way back restores is not of one moment: {made.torn}."
        return {
            "backup": made.id,
            "stopped_at": None,
            "one_moment": not made.torn,
            "new_warnings": [torn] if made.torn else [],
        }
    began = attempt.clock.monotonic()
    stopped_at = rfc3339(attempt.clock.now())
    quiet.stop(attempt, attempt.containers)
    if new := attempt.new_release():  # what was uploaded since `pull` looked
        layers.judge(attempt, attempt.before, guards.of_revision(attempt, new.model()))
    waited = quiet.wait_for_databases(attempt, limit)
    waits = attempt.app.backup.consistency != "live"  # else nobody asked for a short stop
    left = limit - (attempt.clock.monotonic() - began) if waits else None
    calm = data.readings(attempt)
    made = data.back_up(attempt, "fence", previous=first, limit=left)
    _no_foreign_writer(data.written_since(attempt, calm))
    return {
        "backup": made.id,
        "stopped_at": stopped_at,
        "one_moment": not made.torn,
        "operations_waited_for": waited,
    }


def _serves_on(attempt: Attempt) -> bool:
    """Whether the old version serves during the fence's backup."""
    return (
        attempt.app.backup.consistency == "live"
        and attempt.deployment.options.get("data") != "restore"
    )


def check(attempt: Attempt) -> None:
    """Refuse, before anything is stopped, when the backup will take longer than `max_pause`.

    Or when somebody is in the way, or removed an image that is needed from then on.
    """
    limit = attempt.app.backup.max_pause
    nobody_in_the_way(attempt)
    for release in (attempt.old_release(), attempt.new_release()):
        if release:
            pinned.judge(attempt, release)
    if attempt.app.backup.consistency == "live":
        return
    expected = data.expected_seconds(attempt)
    if expected > limit:
        raise GuardError(
            f"The fence's backup is expected to stop the app for {expected:.0f} s,"
            f" more than max_pause ({limit:g} s).",
            remedy=data.CHOICES,
        )


def nobody_in_the_way(attempt: Attempt) -> None:
    """Refuse while a person's Git, Compose or one-off run works on the app."""
    if attempt.deployment.kind != "restore":
        attempt.checkout.locks.wait(attempt.clock)
        git_folder.nothing_half_done(attempt)
    if _serves_on(attempt):
        return
    quiet.nobody_else_at_work(attempt, attempt.fact("preflight", "project"))
    _nothing_else_runs(attempt)


def _nothing_else_runs(attempt: Attempt) -> None:
    one_offs = [one.name for one in attempt.everything if one.oneoff and one.running]
    if one_offs:
        raise GuardError(
            f"A `docker compose run` of the app is under way: {', '.join(one_offs)}.",
            remedy="Wait for its end, or stop it, then deploy again.",
        )


def _no_foreign_writer(changed: list[str]) -> None:
    if changed:
        raise GuardError(
            f"Somebody else writes to {', '.join(changed)} while the app is stopped.",
            remedy="Stop that writer, or give it a database of its own, then deploy again.",
        )
