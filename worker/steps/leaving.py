"""The containers that a release no longer has: what the way back needs of them is kept.

Compose would remove them at once (`--remove-orphans`), and with such a container
goes the way to its anonymous volumes: made anew, it would start empty. So it is
stopped, which frees its ports, and renamed, which frees its name; the way back
gives it its name again and Compose takes it up. Its name alone says all of
this, so each act here can run twice, and after anybody's death.

Of a service that stays with fewer containers, or without an anonymous volume, Compose
removes or replaces containers itself. Their volumes stay on disk, and preflight noted
their names. On the way back a container that is never started stands in for each: it
has the volumes, and Compose carries them over when it makes the old one anew.
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
        _stand_in(attempt, services)
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


def _stand_in(attempt: Attempt, services: set[str]) -> None:
    """Give the anonymous volumes of containers of before a place where Compose finds them."""
    for gone in attempt.before:
        there = attempt.everything
        mounted = {one.name for other in there for one in other.mounts}
        if gone.service not in services or {one.name for one in gone.nameless} <= mounted:
            continue
        place = (gone.service, gone.number)
        instead = [one for one in there if (one.service, one.number) == place and not one.oneoff]
        quiet.stop(attempt, instead)
        for one in instead:
            attempt.engine.remove(one)
        attempt.say(f"keeping the volumes of {gone.own_name}, which is gone")
        attempt.engine.create_stand_in(gone)


def _take_back(attempt: Attempt, services: set[str]) -> None:
    there = attempt.everything
    taken = {one.name for one in there}
    for one in there:
        if one.aside and one.service in services and one.own_name not in taken:
            attempt.engine.rename(one.id, one.own_name)
