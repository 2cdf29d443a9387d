"""Which steps to run, by name and in order. Pure: it decides, it does not act."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from worker.clock import parse

PLANS: Mapping[str, tuple[str, ...]] = {
    "deploy": ("preflight", "backup", "pull", "build", "fence", "switch", "health", "commit"),
    "rollback": ("preflight", "backup", "pull", "build", "fence", "switch", "health", "commit"),
    "restore": ("preflight", "halt", "safety", "restore", "switch", "health", "commit"),
}
# A manual rollback that also puts the data back has the two after its fence.
WITH_DATA = ("fence", "safety", "restore")

# The first step of a plan that stops what serves. Nothing is cancelled from there on.
FENCES = ("fence", "halt")

LATE = timedelta(minutes=5)  # on top of timeout and stable_for, promise 6


def steps(kind: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the steps of a deployment of this kind."""
    plan = PLANS[kind]
    if kind == "rollback" and options.get("data") == "restore":
        at = plan.index("fence")
        return (*plan[:at], *WITH_DATA, *plan[at + 1 :])
    return plan


def begun(records: Collection[Mapping[str, Any]]) -> set[str]:
    """Return the steps that a deploy's records say had begun, and `up` once containers may run."""
    intents = [record for record in records if record["event"] == "intent"]
    up = {"up" for record in intents if record["facts"].get("up")}
    return {record["step"] for record in intents} | up


def way_back(kind: str, begun: Collection[str], *, keep_data: bool = False) -> tuple[str, ...]:
    """Return the steps that undo a deployment of which these steps had begun.

    `begun` has `up` once `switch` was about to start containers. Data goes back
    only when the new version may have run, or a restore had begun: any earlier,
    it would throw away what people wrote since the backup.
    No step here needs a network, a registry or a build.
    """
    if kind == "restore":
        return _way_back_of_restore(begun)
    if "switch" in begun and "up" not in begun and "restore" not in begun:
        return ("checkout", "switch", "health")  # the new version never ran
    if "switch" in begun or "restore" in begun:
        data = () if keep_data and "restore" not in begun else ("restore",)
        return ("halt", "safety", *data, "checkout", "switch", "health")
    if "fence" in begun:
        return ("switch", "health")
    if "build" in begun:
        return ("tags",)
    return ()


def _way_back_of_restore(begun: Collection[str]) -> tuple[str, ...]:
    if "restore" in begun:  # one that mends an inconsistent app moves the checkout, too
        return ("halt", "restore", "checkout", "switch", "health")
    return ("switch", "health") if "halt" in begun else ()


def deaths(records: Collection[Mapping[str, Any]], step: str) -> int:
    """Return how many processes died in a step of the way back: they began it, and no more."""
    last: dict[tuple[Any, ...], str] = {}
    for record in records:
        if (record["phase"], record["step"]) == ("way_back", step):
            last[record["pid"], record["start_time"], record["boot_id"]] = record["event"]
    return list(last.values()).count("intent")


def served_long(
    records: Collection[Mapping[str, Any]],
    now: str,
    *,
    timeout: float,
    stable_for: float,
    measured: float | None = None,
) -> bool:
    """Return whether the new version may have served people for long (promise 6).

    The span runs from the intent of `switch` to when the way back's `halt` had stopped the
    containers (a restore stops the old ones by a `halt` of its own), or to `now` if it did
    not. A negative or unreadable span counts as
    long: then the data is not restored by itself. `measured`: its seconds, by the process
    that switched, if that lives; a clock that was set meanwhile says nothing then.
    """
    begin = _time(records, "deploy", "switch", "intent")
    if begin is None or not any(record["facts"].get("up") for record in records):
        return False
    back = [record["facts"] for record in records if record["phase"] == "way_back"]
    halted = [facts["halted_at"] for facts in back if facts.get("halted_at")]
    end = halted[0] if halted else now
    try:
        span = parse(end) - parse(begin) if measured is None else timedelta(seconds=measured)
    except ValueError:
        return True
    return is_long(span, timeout=timeout, stable_for=stable_for)


def is_long(span: timedelta, *, timeout: float, stable_for: float) -> bool:
    """Return whether people may have been served for so long that no data is replaced unasked."""
    return span < timedelta(0) or span > timedelta(seconds=timeout + stable_for) + LATE


def _time(records: Collection[Mapping[str, Any]], phase: str, step: str, event: str) -> str | None:
    for record in records:
        if (record["phase"], record["step"], record["event"]) == (phase, step, event):
            return str(record["time"])
    return None
