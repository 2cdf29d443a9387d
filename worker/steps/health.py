"""Asks the release whether it is well, for `stable_for` seconds on end.

`up --wait` is not enough: it is content with a crash loop and with the first
healthy second of a flapping container (measured). On the way back, *well*
means: no worse than preflight saw it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.adapters import http
from worker.adapters.containers import Container, patience
from worker.config import Health, HealthUrl
from worker.errors import HealthError
from worker.release import Release, policy_of, replicas
from worker.steps import before, tripwire
from worker.steps.attempt import Attempt, Facts

POLL = 0.25  # seconds
LOG_LINES = 20  # of each container, told when the release is not well
URL_TIMEOUT = 5.0  # seconds
GIVEN_UP = 500  # the first status that is not an answer of the app


@dataclass
class Watch:
    """What was seen so far, by container id."""

    started: dict[str, tuple[int, str]] = field(default_factory=dict)
    was_healthy: set[str] = field(default_factory=set)
    restarts: dict[str, int] = field(default_factory=dict)


def run(attempt: Attempt) -> Facts:
    """Return how long the release took to be stable. Raises HealthError."""
    target = attempt.target()
    if target is None:
        return {}
    try:
        facts = wait_until_stable(attempt, target)
    except HealthError as error:
        _tell_logs(attempt)
        if attempt.going_back:
            raise
        remedy = f"Read what its containers wrote last: sheetanchor show {attempt.id} --log"
        raise HealthError(error.message, remedy=remedy) from error
    if not attempt.going_back:
        tripwire.check(attempt)
    return facts


def _tell_logs(attempt: Attempt) -> None:
    """Put what the containers said last into the deployment's log: they are gone soon."""
    for one in attempt.containers:
        for line in attempt.engine.logs(one.id, tail=LOG_LINES).splitlines():
            attempt.say(f"{one.name}: {line}")


def limit(asked: Health, containers: Iterable[Container]) -> float:
    """Return the seconds within which a release has to be well; its own checks may ask for more."""
    return max(asked.timeout, patience(containers)) + asked.stable_for


def wait_until_stable(attempt: Attempt, target: Release) -> Facts:
    """Return when the release was well for `stable_for` seconds on end. Raises HealthError."""
    health, clock = attempt.app.health, attempt.clock
    began = clock.monotonic()
    deadline = began + limit(health, attempt.containers)
    watch = Watch(restarts={one.id: one.restarts for one in attempt.before})
    calm_since: float | None = None
    complaint: str | None = "nothing was looked at"
    while clock.monotonic() < deadline:
        complaint = look(attempt, target, watch)
        if complaint:
            calm_since = None
        elif calm_since is None:
            calm_since = clock.monotonic()
        elif clock.monotonic() - calm_since >= health.stable_for:
            return {"stable_after": round(calm_since - began, 1)}
        if calm_since is None and clock.monotonic() > deadline - health.stable_for:
            break  # what is left of the time is not enough
        clock.sleep(POLL)
    raise HealthError(
        f"The release was not well for {health.stable_for:g} s within"
        f" {deadline - began:.0f} s: {complaint}.",
        remedy=f"Look at the containers' logs: sheetanchor logs {attempt.app.name}.",
    )


def look(attempt: Attempt, target: Release, watch: Watch) -> str | None:
    """Return what is wrong now, or None. Raises HealthError for what cannot mend."""
    services = target.model()["services"]
    there = before.places(one for one in attempt.containers if one.service in target.images)
    stood = before.places(attempt.before)
    wanted = before.scale(attempt.before, target.images)
    if not attempt.going_back:
        wanted = {name: replicas(services.get(name) or {}) for name in target.images}
    has = before.scale(there.values(), target.images).items()
    complaints: list[str | None] = [
        f"service {name} has {count} of {wanted[name]} containers"
        for name, count in has
        if count < wanted[name]
    ]
    for place, one in there.items():  # all of them: one that crashes again and again ends it
        if attempt.going_back and place in stood:
            complaints.append(_twin(attempt, services, one, stood[place], watch))
        else:
            ran = any(twin.running for twin in stood.values() if twin.service == one.service)
            complaints.append(_container(one, watch, _one_shot(services, one.service) and not ran))
    return next(filter(None, complaints), None) or _urls(attempt)


def _twin(
    attempt: Attempt, services: Mapping[str, Any], one: Container, twin: Container, watch: Watch
) -> str | None:
    """Return what is wrong with a container and was not with the one in its place before."""
    if twin.id in before.resting(attempt.before, services):
        return None
    if twin.status == "paused":
        return None if one.status == "paused" else f"container {one.name} is not paused"
    if before.was_ill(twin, attempt.fact("preflight", "unstable", [])):
        return None
    return _container(one, watch, before.done(twin, services.get(one.service) or {}))


def _one_shot(services: Mapping[str, Any], service: str) -> bool:
    """Whether a service's program may end well: nothing starts it again then."""
    return policy_of(services.get(service) or {})["Name"] in ("no", "on-failure")


def _container(one: Container, watch: Watch, one_shot: bool) -> str | None:
    if one.status == "exited" and one.exit_code == 0 and one_shot:
        return None  # it is done, however many tries it took
    if not (one_shot and one.policy.get("MaximumRetryCount")):  # else Docker counts its tries
        _crash_loop(one, watch)
    if one.status == "exited" and one.policy.get("Name") in ("", "no", "on-failure"):
        raise HealthError(
            f"Container {one.name} exited with {one.exit_code}.",
            remedy="Read its log: docker logs " + one.name,
        )
    if one.status != "running":
        return f"container {one.name} is {one.status}"
    if watch.started.setdefault(one.id, (one.restarts, one.started_at)) != (
        one.restarts,
        one.started_at,
    ):
        watch.started[one.id] = (one.restarts, one.started_at)
        return f"container {one.name} was started again"
    return _health(one, watch)


def _health(one: Container, watch: Watch) -> str | None:
    if one.health in (None, "healthy", "none"):
        watch.was_healthy.add(one.id)
        return None
    if one.health == "unhealthy" and one.id in watch.was_healthy:
        raise HealthError(
            f"Container {one.name} was healthy and became unhealthy.",
            remedy=f"Read its log: docker logs {one.name}",
        )
    return f"container {one.name} is {one.health}"


def _crash_loop(one: Container, watch: Watch) -> None:
    first = watch.restarts[one.id] = min(watch.restarts.get(one.id, 0), one.restarts)
    if one.restarts - first > 1:
        raise HealthError(
            f"Container {one.name} keeps crashing: {one.restarts} restarts,"
            f" last exit code {one.exit_code}.",
            remedy=f"Read its log: docker logs {one.name}",
        )


def _urls(attempt: Attempt) -> str | None:
    asleep = attempt.going_back and not any(one.running for one in attempt.before)
    failed_before = attempt.fact("preflight", "urls_failing", []) if attempt.going_back else []
    for url in attempt.app.health.urls:
        if asleep or url.url in failed_before:
            continue
        if complaint := ask(url):
            return complaint
    return None


def ask(url: HealthUrl) -> str | None:
    """Return why a URL's answer is not a healthy one, or None."""
    answer = http.status(url.url, timeout=URL_TIMEOUT)
    if answer is None:
        return f"{url.url} did not answer"
    if url.expect is not None and answer != url.expect:
        return f"{url.url} answered {answer}, not {url.expect}"
    if url.expect is None and answer >= GIVEN_UP:
        return f"{url.url} answered {answer}"
    return None
