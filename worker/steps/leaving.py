"""The containers of services that a release no longer has: kept, stopped, until the commit.

Compose would remove them at once (`--remove-orphans`), and with such a container
goes the way to its anonymous volumes: made anew, it would start empty. So it is
stopped, which frees its ports, and renamed, which frees its name; the way back
gives it its name again and Compose takes it up. Its name alone says all of
this, so each act here can run twice, and after anybody's death.
"""

from worker.adapters.containers import ASIDE
from worker.errors import StepError, UnavailableError
from worker.release import Release
from worker.steps import quiet
from worker.steps.attempt import Attempt


def make_room(attempt: Attempt, target: Release) -> None:
    """Leave only the target's services with their own names, before Compose brings them up."""
    services = set(target.model().get("services") or {})
    if attempt.going_back:
        _remove_new(attempt, services)
    else:
        _set_aside(attempt, services)
    _take_back(attempt, services)


def remove_left(attempt: Attempt) -> None:
    """Remove what was set aside; volumes stay. The deployment is committed: nothing fails it.

    What cannot be removed now stays out of the way, and goes after the next commit.
    """
    try:
        for one in attempt.everything:
            if one.aside:
                attempt.say(f"removing {one.own_name}, whose service {one.service} is no more")
                attempt.engine.remove(one)
    except (StepError, UnavailableError) as error:
        attempt.say(f"not removed: {error.message}")


def _set_aside(attempt: Attempt, services: set[str]) -> None:
    leaving = [one for one in attempt.containers if one.service not in services]
    quiet.stop(attempt, leaving)  # with consistency = "live" the fence stopped nothing
    for one in leaving:
        attempt.say(f"setting {one.own_name} aside: the release has no service {one.service}")
        attempt.engine.rename(one.id, f"{one.own_name}{ASIDE}{attempt.id}")


def _remove_new(attempt: Attempt, services: set[str]) -> None:
    """Remove the containers of services that only the release we leave has."""
    noted = {one.id for one in attempt.before}
    new = [one for one in attempt.containers if one.service not in services]
    made = [one for one in new if one.id not in noted]
    quiet.stop(attempt, made)
    for one in made:
        attempt.engine.remove(one)


def _take_back(attempt: Attempt, services: set[str]) -> None:
    there = attempt.everything
    taken = {one.name for one in there}
    for one in there:
        if one.aside and one.service in services and one.own_name not in taken:
            attempt.engine.rename(one.id, one.own_name)
