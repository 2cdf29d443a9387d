"""Gives the containers back what they were: how many, which of them run, their policies.

The acts that belong to `before`'s rules. A container that Compose made anew, or
only stopped and started, does not have them by itself.
"""

from collections.abc import Sequence

from worker.adapters.containers import Container
from worker.deployment import Status
from worker.journal import Journal, journals
from worker.release import Release, policy_of
from worker.steps import before
from worker.steps.attempt import Attempt


def up(attempt: Attempt, target: Release, scale: dict[str, int]) -> None:
    """Have as many containers as before; start those that ran."""
    model, directory, say = target.model_path, attempt.app.checkout, attempt.say
    rest = resting(attempt, target)
    if not rest:
        attempt.compose.up(model, directory, scale=scale, on_line=say)
        return
    attempt.compose.up(model, directory, start=False, scale=scale, on_line=say)
    partly = {one.service for one in attempt.before if one.id in rest}
    whole = {name: count for name, count in scale.items() if count and name not in partly}
    if whole:
        attempt.compose.up(model, directory, sorted(whole), scale=whole, on_line=say)
    twins = before.twins(attempt.before, attempt.containers)
    for one in attempt.containers:
        if one.service in partly and one.id in twins and twins[one.id].id not in rest:
            attempt.engine.start(one.id)


def resting(attempt: Attempt, target: Release) -> set[str]:
    """Return the ids of the containers of before that are not to be started."""
    return before.resting(attempt.before, target.model().get("services") or {})


def pause_again(attempt: Attempt) -> None:
    """Freeze what a person had frozen."""
    twins = before.twins(attempt.before, attempt.containers)
    for one in attempt.containers:
        if one.id in twins and twins[one.id].status == "paused" and one.status == "running":
            attempt.engine.pause(one)


def miscounted(attempt: Attempt, target: Release, now: list[Container]) -> list[str]:
    """Return the services that have not as many containers as before."""
    there, wanted = before.scale(now, target.images), before.scale(attempt.before, target.images)
    return [
        f"service {service} has {there[service]} containers, not {count}"
        for service, count in wanted.items()
        if there[service] != count
    ]


def give_policies_back(attempt: Attempt, target: Release) -> None:
    """Give containers that were only stopped and started their restart policies back.

    A container made anew has its model's; on the way back, what a person had given
    to the one in its place. A noted `no` may be what a way back left that did not
    end: then the model's holds.
    """
    noted = {one.id: one for one in attempt.before}
    twins = before.twins(attempt.before, attempt.containers) if attempt.going_back else {}
    services = target.model().get("services") or {}
    doubted = left_off(journals(attempt.state.journals, attempt.clock))
    for one in attempt.containers:
        twin = noted.get(one.id) or twins.get(one.id)
        policy = dict(twin.policy) if twin else {}
        if not policy.get("Name") or (doubted and policy["Name"] == "no"):
            policy = policy_of(services.get(one.service) or {})
        if one.policy | {"Name": one.policy.get("Name") or "no"} != policy:
            attempt.engine.set_policy(one.id, policy)


def left_off(past: Sequence[Journal]) -> bool:
    """Return whether the last deployment that touched the containers ended `inconsistent`.

    Then nothing gave their policies back; a person's `resume` does not either.
    """
    for journal in reversed(past):
        end = journal.records()[-1:]
        status = end[0]["facts"].get("status") if end else None
        if status in (Status.SUCCEEDED, Status.ROLLED_BACK, Status.INCONSISTENT):
            return bool(status == Status.INCONSISTENT)
    return False
