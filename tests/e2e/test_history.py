"""Each rule of the checker sees the history that breaks it. Forged: nothing is run here."""

import copy
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e import history
from worker.clock import rfc3339

BEGAN = datetime(2026, 11, 22, 12, tzinfo=UTC)
FORWARD = ("preflight", "backup", "pull", "build", "fence", "switch", "health")
BACK = ("halt", "safety", "restore", "checkout", "switch", "health")
FACTS = {"backup": {"backup": "b1"}, "fence": {"backup": "b2"}}


class Forger:
    """Writes records, a second apart."""

    def __init__(self, kind="deploy", at=0, **options):
        self.now, self.pid, self.records = BEGAN + timedelta(seconds=at), 100, []
        asked = {
            "kind": kind,
            "options": options,
            "trigger": "push",
            "requested_revision": "a" * 40,
        }
        self.write("deploy", "accept", "done", {"deployment": asked})

    def write(self, phase, step, event, facts=None):
        self.now += timedelta(seconds=1)
        who = {"pid": self.pid, "start_time": self.pid, "boot_id": "b"}
        record = {"phase": phase, "step": step, "event": event, "time": rfc3339(self.now)}
        self.records.append(record | who | {"facts": facts or {}})
        return self

    def steps(self, phase, *names, last="done"):
        for name in names:
            self.write(phase, name, "intent")
            self.write(phase, name, last if name == names[-1] else "done", FACTS.get(name))
        return self

    def die(self):
        self.pid += 1
        return self

    def end(self, status):
        return self.write("after", "end", "end", {"status": status, "error": None}).records


def good():
    return Forger().steps("deploy", *FORWARD, "commit").end("succeeded")


def bad():
    forged = Forger(at=100).steps("deploy", *FORWARD, last="failed")
    return forged.steps("way_back", *BACK).end("rolled_back")


def killed():
    forged = Forger(at=200).steps("deploy", *FORWARD[:-1]).write("deploy", "health", "intent")
    return forged.die().steps("way_back", *BACK).end("rolled_back")


def restored():
    steps = ("preflight", "halt", "safety", "restore", "switch", "health", "commit")
    return Forger("restore", at=300).steps("deploy", *steps).end("succeeded")


def failed_build():
    forged = Forger(at=400).steps("deploy", *FORWARD[:4], last="failed")
    return forged.steps("way_back", "tags").end("failed")


WHOLE = {"good": good, "bad": bad, "killed": killed, "restored": restored, "build": failed_build}


def test_an_honest_history_breaks_no_rule():
    assert history.faults({name: forge() for name, forge in WHOLE.items()}) == []


def without(records, phase, step, event):
    return [r for r in records if (r["phase"], r["step"], r["event"]) != (phase, step, event)]


def moved(records, name, event, to, to_event):
    """Return the records with one of them just before another."""
    left = [r for r in records if (history.what(r), r["event"]) != (name, event)]
    [one] = [r for r in records if (history.what(r), r["event"]) == (name, event)]
    place = history.at(left, to, to_event)
    return [*left[:place], {**one, "time": left[place]["time"]}, *left[place:]]


def changed(records, event, **facts):
    found = copy.deepcopy(records)
    for record in found:
        if record["event"] == event or history.what(record) == event:
            record["facts"] |= facts
    return found


def tried(times):
    forged = Forger(at=100).steps("deploy", *FORWARD, last="failed").steps("way_back", "halt")
    for _ in range(times):
        forged.steps("way_back", "safety", last="failed")
    return forged.steps("way_back", *BACK[1:]).end("rolled_back")


def later(records, event_of, seconds):
    """Return the records with the end of a step, and all after it, so much later."""
    found, on = copy.deepcopy(records), False
    for record in found:
        on = on or (history.what(record), record["event"]) == (event_of, "done")
        if on:
            moment = datetime.fromisoformat(record["time"]) + timedelta(seconds=seconds)
            record["time"] = rfc3339(moment)
    return found


FORGED = {
    "no end": (history.ends_once, lambda: good()[:-1]),
    "two ends": (history.ends_once, lambda: [*good(), good()[-1]]),
    "on after the end": (history.ends_once, lambda: [*good(), good()[3]]),
    "inconsistent": (
        history.none_is_inconsistent,
        lambda: changed(bad(), "end", status="inconsistent", error={"message": "away"}),
    ),
    "no intent": (history.intent_first, lambda: without(good(), "deploy", "pull", "intent")),
    "two steps at once": (
        history.intent_first,
        lambda: moved(good(), "deploy.pull", "done", "deploy.build", "done"),
    ),
    "a step left out": (
        history.in_plan_order,
        lambda: without(without(good(), "deploy", "pull", "intent"), "deploy", "pull", "done"),
    ),
    "back to an earlier step": (
        history.in_plan_order,
        lambda: Forger().steps("deploy", *FORWARD, "pull", "commit").end("succeeded"),
    ),
    "no backup": (
        history.backup_before_change,
        lambda: without(good(), "deploy", "backup", "done"),
    ),
    "a backup of nothing": (
        history.backup_before_change,
        lambda: changed(good(), "deploy.fence", backup=None),
    ),
    "switched before the fence's backup": (
        history.backup_before_change,
        lambda: moved(good(), "deploy.fence", "done", "deploy.switch", "done"),
    ),
    "restored without a safety backup": (
        history.backup_before_change,
        lambda: without(restored(), "deploy", "safety", "done"),
    ),
    "put back without a safety backup": (
        history.restored_over_a_safety_backup,
        lambda: without(bad(), "way_back", "safety", "done"),
    ),
    "put back while it ran": (
        history.restored_over_a_safety_backup,
        lambda: without(killed(), "way_back", "halt", "done"),
    ),
    "restored while it ran": (
        history.restored_over_a_safety_backup,
        lambda: without(restored(), "deploy", "halt", "done"),
    ),
    "started on half-restored data": (
        history.restored_over_a_safety_backup,
        lambda: moved(bad(), "way_back.restore", "done", "way_back.switch", "done"),
    ),
    "back after the commit": (
        history.no_return_after_the_commit,
        lambda: [*good()[:-1], *bad()[-3:-1], good()[-1]],
    ),
    "on after the way back": (
        history.no_return_after_the_commit,
        lambda: [*bad()[:-1], *good()[3:5], bad()[-1]],
    ),
    "succeeded uncommitted": (
        history.told_as_it_was,
        lambda: changed(bad(), "end", status="succeeded"),
    ),
    "failed, and was stopped": (
        history.told_as_it_was,
        lambda: changed(bad(), "end", status="failed"),
    ),
    "rolled back unseen": (
        history.told_as_it_was,
        lambda: without(bad(), "way_back", "health", "done"),
    ),
    "tried again and again": (history.limits_are_kept, lambda: tried(4)),
    "a pause too long": (history.in_time, lambda: later(good(), "deploy.fence", 100)),
    "time went back": (history.in_time, lambda: later(good(), "deploy.health", -30)),
}


@pytest.mark.parametrize("forged", FORGED)
def test_each_rule_sees_what_breaks_it(forged):
    rule, forge = FORGED[forged]

    assert any(fault.startswith(f"{rule.__name__}: ") for fault in history.faults({"one": forge()}))


def test_every_rule_is_shown_to_see_something():
    shown = {rule for rule, _ in FORGED.values()}
    assert shown | {history.one_at_a_time} == set(history.RULES)


def test_two_deployments_at_a_time_are_seen():
    first, second = Forger().steps("deploy", *FORWARD).end("x"), Forger(at=5).end("skipped")

    assert list(history.one_at_a_time({"first": first, "second": second}))
    assert not list(history.one_at_a_time({"first": first, "second": Forger(at=50).end("skipped")}))


def test_a_step_may_be_tried_three_times():
    assert history.faults({"one": tried(2)}) == []


def test_a_head_that_kills_is_not_tried_for_ever():
    deaths = {f"d{n}": Forger(at=300 * n).die().end("failed") for n in range(5)}

    assert list(history.limits_are_kept(deaths))
    assert not list(history.limits_are_kept(dict(list(deaths.items())[:4])))
