"""What the way back has to give back of the containers: how many, and in which state.

*As well as before* includes "was stopped", "was paused", "was unhealthy" and "was
not there" (promise 11). A container made anew has another id and perhaps another
number, so each is compared with the one that stood in its place: the first of
its service with the first, the second with the second. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from worker.adapters.containers import Container

Twins = Mapping[str, Container]
Places = dict[tuple[str, int], Container]

ENDS_BY_ITSELF = ("", "no", "on-failure")  # the restart policies of a program that may end


def places(containers: Iterable[Container]) -> Places:
    """Return the containers by service and place in it, from 0 on."""
    found: Places = {}
    seen: Counter[str] = Counter()
    for one in sorted(containers, key=lambda one: one.number):
        found[one.service, seen[one.service]] = one
        seen[one.service] += 1
    return found


def twins(before: Iterable[Container], now: Iterable[Container]) -> Twins:
    """Return, by the id of each container of now, the one that stood in its place."""
    old = places(before)
    return {one.id: old[place] for place, one in places(now).items() if place in old}


def scale(before: Iterable[Container], services: Iterable[str]) -> dict[str, int]:
    """Return how many containers each service had; 0 for one that was removed by hand."""
    count = Counter(one.service for one in before)
    return {service: count[service] for service in services}


def resting(before: Iterable[Container], services: Mapping[str, Any]) -> set[str]:
    """Return the ids of the containers that are not to be started on the way back.

    A job that had done its work is no such container: what it made may have been
    made anew by the new version's. But where nothing ran, nothing is started.
    """
    there = list(before)
    if not any(one.running for one in there):
        return {one.id for one in there}
    return {
        one.id for one in there if not (one.running or done(one, services.get(one.service) or {}))
    }


def done(one: Container, service: Mapping[str, Any]) -> bool:
    """Return whether it is a job that ended well, rather than one that somebody stopped.

    Docker does not tell the two apart, and a program that was asked to stop may
    end with 0, too. Who is asked for health or has a port is no job.
    """
    job = one.policy.get("Name", "") in ENDS_BY_ITSELF
    serves = service.get("healthcheck") or service.get("ports")
    return one.status == "exited" and one.exit_code == 0 and job and not serves


def was_ill(one: Container, unstable: Iterable[str]) -> bool:
    """Return whether a container that ran did not run well; `unstable` are names."""
    return one.status == "restarting" or one.health == "unhealthy" or one.name in unstable


def given_up(
    before: Sequence[Container], now: Sequence[Container], services: Mapping[str, Any]
) -> list[str]:
    """Return sentences for what a person had set by hand and a new version does not keep."""
    if before and not any(one.running for one in before):
        return ["Nothing of the app ran before; it runs now."]
    rest, old = resting(before, services), twins(before, now)
    woken = [(one, old[one.id]) for one in now if one.running and one.id in old]
    paused = sorted({one.service for one, twin in woken if twin.status == "paused"})
    stopped = sorted({one.service for one, twin in woken if twin.id in rest})
    found = [f"Paused before, and running now: {', '.join(paused)}."] if paused else []
    found += [f"Stopped before, and running now: {', '.join(stopped)}."] if stopped else []
    had, has = scale(before, services), scale(now, services)
    return found + [
        f"Service {name} had {count} containers, and has {has[name]} as its Compose file says."
        for name, count in had.items()
        if count > has[name]
    ]
