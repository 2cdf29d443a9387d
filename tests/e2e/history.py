"""What the journals of an app must say, whoever died in between. Pure: rules over records.

`history` maps a deployment's id to its journal's records, oldest first. Each rule yields what
breaks it, as a sentence. Times are the journals' own: with a clock that jumps leave out `in_time`.
"""

import itertools
from collections import Counter

from worker import plan
from worker.clock import parse
from worker.decisions import TRIES_AFTER_A_DEATH
from worker.journal import RESUME, since_resumed
from worker.pipeline import TRIES

BACKUPS = (("deploy.fence", "deploy.backup"), ("deploy.switch", "deploy.fence"))
BEFORE_THE_FENCE = ("failed", "skipped", "cancelled", "superseded")
SLACK = 30.0  # seconds that a busy machine may add to a limit


def what(record):
    return f"{record['phase']}.{record['step']}"


def process(record):
    return record["pid"], record["start_time"], record["boot_id"]


def died_in(records):
    """Return how often the process changed before the end: each time, one had died."""
    return len(dict.fromkeys(process(one) for one in records)) - 1


def at(records, name, event):
    """Return the place of a step's first record of this event, or None."""
    for place, record in enumerate(records):
        if (what(record), record["event"]) == (name, event):
            return place
    return None


def ends_once(history):
    for identity, whole in history.items():
        records = since_resumed(whole) or whole
        ends = [one["facts"]["status"] for one in records if one["event"] == "end"]
        if len(ends) != 1:
            yield f"{identity} has the final statuses {ends}"
        elif records[-1]["event"] != "end":
            yield f"{identity} went on after its end: {what(records[-1])}"


def none_is_inconsistent(history):
    for identity, records in history.items():
        if records[-1]["facts"].get("status") == "inconsistent":
            yield f"{identity} is inconsistent: {records[-1]['facts']['error']['message']}"


def one_at_a_time(history):
    parts = [(name, part) for name, whole in history.items() for part in runs(whole)]
    spans = sorted((one[0]["time"], one[-1]["time"], name) for name, one in parts if one)
    for (_, end, first), (begin, _, second) in itertools.pairwise(spans):
        if begin < end:
            yield f"{second} began at {begin}, before {first} ended at {end}"


def runs(records):
    """Return the runs of a deployment: the first, and one for each time a person resumed it."""
    resumed = [place for place, one in enumerate(records) if one["step"] == RESUME]
    return [records[a:b] for a, b in itertools.pairwise([0, *resumed, len(records)])]


def intent_first(history):
    for identity, records in history.items():
        open_step, opened_by = None, None
        for one in records:
            name = what(one)
            if one["step"] in ("accept", "end", RESUME):
                continue
            if one["event"] == "intent":
                if open_step not in (None, name) and opened_by == process(one):
                    yield f"{identity}: {name} began while {open_step} had not ended"
                open_step, opened_by = name, process(one)
            elif open_step == name and opened_by == process(one):
                open_step = None
            elif not _is_late_commit(one):
                yield f"{identity}: {name} is {one['event']} and was never announced"


def _is_late_commit(record):
    """Whether it is the commit of a version that had served for long (promise 6)."""
    late = record["facts"].get("new_warnings")
    return (what(record), record["event"]) == ("deploy.commit", "done") and bool(late)


def in_plan_order(history):
    for identity, records in history.items():
        asked = records[0]["facts"]["deployment"]
        order = plan.steps(asked["kind"], asked["options"])
        begun = [one["step"] for one in records if _intent(one, "deploy")]
        places = [order.index(step) for step in begun]
        if places != sorted(places) or set(places) != set(range(max(places, default=-1) + 1)):
            yield f"{identity} ran {begun}, and its plan is {list(order)}"


def _intent(record, phase):
    return record["phase"] == phase and record["event"] == "intent"


def backup_before_change(history):
    """Promise 3: a verified backup is there before anything is replaced, or even stopped."""
    for identity, records in history.items():
        yield from _only_after(identity, records, "deploy.restore", "deploy.safety")
        if records[0]["facts"]["deployment"]["kind"] == "restore":
            continue
        for change, needed in (
            ("deploy.fence", "deploy.backup"),
            ("deploy.switch", "deploy.fence"),
        ):
            yield from _only_after(identity, records, change, needed)
            made = at(records, needed, "done")
            if made is not None and not records[made]["facts"].get("backup"):
                yield f"{identity}: {needed} ended without a backup"


def restored_over_a_safety_backup(history):
    """Promise 5: with everything stopped, after a safety backup, before the old version starts."""
    for identity, records in history.items():
        aside = _done(records, "deploy.safety", "way_back.safety")
        stopped = _done(records, "deploy.fence", "deploy.halt")
        for restore, needed in (
            ("way_back.restore", "way_back.halt"),
            ("way_back.restore", aside),
            ("deploy.restore", stopped),
        ):
            yield from _only_after(identity, records, restore, needed)
        kept = any(one["facts"].get("keeps_data") for one in records)  # a person's word
        for phase in ("deploy",) if kept else ("deploy", "way_back"):
            if at(records, f"{phase}.restore", "intent") is not None:
                yield from _only_after(identity, records, f"{phase}.switch", f"{phase}.restore")


def _done(records, name, other):
    return name if at(records, name, "done") is not None else other


def _only_after(identity, records, change, needed):
    begun, there = at(records, change, "intent"), at(records, needed, "done")
    if begun is not None and (there is None or there > begun):
        yield f"{identity}: {change} began without {needed} being done"


def no_return_after_the_commit(history):
    for identity, records in history.items():
        committed, back = at(records, "deploy.commit", "done"), _first(records, "way_back")
        if committed is not None and back is not None:
            yield f"{identity} went back, and was committed"
        later = records[back:] if back is not None else []
        if forward := [what(one) for one in later if one["phase"] == "deploy"]:
            yield f"{identity} went on with {forward} after its way back had begun"


def _first(records, phase):
    return next((n for n, one in enumerate(records) if one["phase"] == phase), None)


def told_as_it_was(history):
    """The final status says what happened."""
    for identity, records in history.items():
        status = records[-1]["facts"].get("status")
        committed = at(records, "deploy.commit", "done") is not None
        stopped = any(at(records, f"deploy.{name}", "intent") is not None for name in plan.FENCES)
        back = at(records, "way_back.health", "done") is not None
        if (status == "succeeded") != committed:
            yield f"{identity} is {status}, and was {'' if committed else 'not '}committed"
        if status in BEFORE_THE_FENCE and stopped:
            yield f"{identity} is {status}, and had stopped the app"
        if status == "rolled_back" and not back:
            yield f"{identity} is rolled_back, and nobody looked whether the old version is well"


def limits_are_kept(history):
    for identity, records in history.items():
        failures = Counter(
            (what(one), process(one))
            for one in records
            if (one["phase"], one["event"]) == ("way_back", "failed")
        )
        for (name, _), count in failures.items():
            if count > TRIES:
                yield f"{identity} tried {name} {count} times"
    heads = Counter(
        one[0]["facts"]["deployment"]["requested_revision"]
        for one in history.values()
        if died_in(one) and one[0]["facts"]["deployment"]["trigger"] in ("push", "reconcile")
    )
    for head, count in heads.items():
        if count > TRIES_AFTER_A_DEATH + 1:
            yield f"head {head[:12]} was tried {count} times, and each time the process died"


def in_time(history, max_pause=60.0, health=30.0):
    """Each step keeps its limit; the clock never goes back."""
    limits = {"deploy.fence": max_pause, "deploy.health": health}
    for identity, records in history.items():
        for one, other in itertools.pairwise(records):
            if other["time"] < one["time"]:
                yield f"{identity}: {what(other)} at {other['time']} follows {one['time']}"
        for name, limit in limits.items():
            begin, end = at(records, name, "intent"), at(records, name, "done")
            if begin is None or end is None:
                continue
            took = (parse(records[end]["time"]) - parse(records[begin]["time"])).total_seconds()
            if took > limit + SLACK:
                yield f"{identity}: {name} took {took:.0f} s, and may take {limit:g}"


ALWAYS = (
    ends_once,
    one_at_a_time,
    intent_first,
    in_plan_order,
    backup_before_change,
    restored_over_a_safety_backup,
    no_return_after_the_commit,
    told_as_it_was,
    limits_are_kept,
)
RULES = (*ALWAYS, none_is_inconsistent, in_time)


def faults(history, rules=RULES):
    """Return what is wrong with a history, each with the rule that it breaks."""
    return [f"{rule.__name__}: {fault}" for rule in rules for fault in rule(history)]
