"""The steps by the names that plans and journals use."""

from collections.abc import Callable, Mapping

from worker.steps import (
    backup,
    build,
    checkout,
    commit,
    fence,
    halt,
    health,
    preflight,
    pull,
    restore,
    safety,
    switch,
    tags,
)
from worker.steps.attempt import Attempt, Facts

STEPS: Mapping[str, Callable[[Attempt], Facts]] = {
    "preflight": preflight.run,
    "backup": backup.run,
    "pull": pull.run,
    "build": build.run,
    "fence": fence.run,
    "switch": switch.run,
    "health": health.run,
    "commit": commit.run,
    "halt": halt.run,
    "safety": safety.run,
    "restore": restore.run,
    "checkout": checkout.run,
    "tags": tags.run,
}
