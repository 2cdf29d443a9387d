import pytest

from worker import ending, plan
from worker.errors import StepError
from worker.journal import RESUME

STEPS = plan.PLANS["deploy"]
DEPLOY = (*STEPS[:6], "up", *STEPS[6:])  # `up`: switch was about to start containers


@pytest.mark.parametrize("killed_at", range(len(DEPLOY) + 1))
def test_data_is_restored_only_when_the_new_version_may_have_run(killed_at):
    begun = DEPLOY[:killed_at]

    assert ("restore" in plan.way_back("deploy", begun)) == ("up" in begun)


def test_a_switch_that_started_nothing_is_undone_without_touching_data():
    assert plan.way_back("deploy", STEPS[:6]) == ("checkout", "switch", "health")


def test_way_back_needs_no_network_and_no_build():
    for kind, steps in plan.PLANS.items():
        assert not {"pull", "build", "preflight"} & set(plan.way_back(kind, steps))


def test_old_version_starts_only_after_its_data_is_back():
    steps = plan.way_back("deploy", DEPLOY)

    assert steps.index("halt") < steps.index("safety") < steps.index("restore")
    assert steps.index("restore") < steps.index("checkout") < steps.index("switch")


def test_way_back_of_a_restore_puts_its_data_and_then_the_checkout_back():
    steps = plan.way_back("restore", plan.steps("restore", {}))

    assert steps == ("halt", "restore", "checkout", "switch", "health")


def test_before_the_fence_only_tags_are_undone():
    assert plan.way_back("deploy", DEPLOY[:3]) == ()
    assert plan.way_back("deploy", DEPLOY[:4]) == ("tags",)
    assert plan.way_back("deploy", DEPLOY[:5]) == ("switch", "health")


def test_data_is_kept_when_the_configuration_says_so_but_set_aside_all_the_same():
    steps = plan.way_back("deploy", DEPLOY, keep_data=True)

    assert "restore" not in steps
    assert "safety" in steps


def test_rollback_with_data_restores_it_after_the_fence_and_a_safety_backup():
    steps = plan.steps("rollback", {"data": "restore"})

    assert steps.index("fence") < steps.index("safety") < steps.index("restore")
    assert steps.index("restore") < steps.index("switch")


def record(phase, step, time, **facts):
    return {"phase": phase, "step": step, "event": "intent", "time": time, "facts": facts}


SWITCHED = record("deploy", "switch", "2026-11-22T10:00:00Z", up=True)
NOT_YET_UP = record("deploy", "switch", "2026-11-22T10:00:00Z")
HALTED = record("way_back", "halt", "2026-11-22T10:01:09Z", halted_at="2026-11-22T10:01:00Z")
STOPPED = record("deploy", "halt", "2026-11-22T09:59:09Z", halted_at="2026-11-22T09:59:00Z")


@pytest.mark.parametrize(
    ("records", "now", "long"),
    [
        ([SWITCHED], "2026-11-22T10:01:00Z", False),
        ([SWITCHED], "2026-11-22T10:07:36Z", True),
        ([SWITCHED], "2026-11-22T09:59:59Z", True),
        ([SWITCHED], "soon", True),
        ([], "2026-11-29T10:00:00Z", False),
        ([SWITCHED, HALTED], "2026-11-29T10:00:00Z", False),
        ([NOT_YET_UP], "2026-11-29T10:00:00Z", False),
        ([STOPPED, SWITCHED], "2026-11-22T10:01:00Z", False),
        ([STOPPED, SWITCHED], "2026-11-22T10:07:36Z", True),
        ([STOPPED, SWITCHED, HALTED], "2026-11-29T10:00:00Z", False),
    ],
    ids=[
        "soon",
        "late",
        "clock-went-back",
        "unreadable",
        "never-switched",
        "halted-in-time",
        "nothing-started",
        "soon-after-a-restore",
        "late-after-a-restore",
        "restore-halted-in-time",
    ],
)
def test_a_version_that_served_long_is_recognised(records, now, long):
    """Promise 6: 120 s + 35 s + 5 min is the most that recovery undoes by itself."""
    assert plan.served_long(records, now, timeout=120, stable_for=35) is long


@pytest.mark.parametrize("now", ["2026-11-22T09:00:00Z", "2027-11-22T10:00:00Z"])
def test_a_clock_that_was_set_makes_no_version_late_for_who_measured_it(now):
    def late(seconds):
        return plan.served_long([SWITCHED], now, timeout=120, stable_for=35, measured=seconds)

    assert (late(60), late(456)) == (False, True)


def step_of(pid, event, step="restore"):
    who = {"pid": pid, "start_time": 1, "boot_id": "b"}
    return {"phase": "way_back", "step": step, "event": event, "facts": {}, **who}


def test_who_died_in_a_step_of_the_way_back_is_counted():
    begun = [step_of(1, "intent"), step_of(2, "intent"), step_of(2, "intent")]
    other = [step_of(3, "intent", "safety")]
    lived = [step_of(4, "intent"), step_of(4, "failed"), step_of(5, "intent"), step_of(5, "done")]

    assert plan.deaths(begun + other + lived, "restore") == 2


def test_step_that_kills_whoever_tries_it_is_given_up_until_a_person_resumes():
    deadly = [step_of(pid, "intent") for pid in range(ending.DEATHS)]

    with pytest.raises(StepError, match="died in the step restore"):
        ending.refuse_deadly(deadly, "restore")

    ending.refuse_deadly(deadly[1:], "restore")
    ending.refuse_deadly([*deadly, step_of(9, "done", RESUME)], "restore")
