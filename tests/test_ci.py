"""A push that waits for its CI: on a real Redis and a real repository."""

import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from tests.clocks import FakeClock
from tests.deployments import asked_for
from tests.test_waiting import CLOCK, NEW, Shop
from worker import ci
from worker.ci import Result, Results, Verdict
from worker.clock import rfc3339
from worker.decisions import Decisions
from worker.deployment import new_id
from worker.errors import SkippedError
from worker.journal import Journal
from worker.notify.conditions import of_late_ci
from worker.steps import gate

A = "a" * 40


def result(revision=A, conclusion="success", **fields):
    usual = {"kind": "workflow_run", "workflow": 1, "run": 1, "attempt": 1, "name": "tests"}
    return Result(**{"revision": revision, "conclusion": conclusion, **usual, **fields})


@pytest.mark.parametrize(
    ("wanted", "conclusions", "verdict"),
    [
        (False, {}, Verdict.PASSED),
        (True, {}, Verdict.WAITS),
        (True, {"tests": "success"}, Verdict.PASSED),
        (True, {"tests": "failure"}, Verdict.FAILED),
        (True, {"tests": "timed_out"}, Verdict.FAILED),
        (True, {"tests": "cancelled"}, Verdict.WAITS),
        (True, {"docs": "success", "tests": "failure"}, Verdict.FAILED),
        (True, {"docs": "skipped"}, Verdict.WAITS),
        (("Tests", "lint"), {"tests": "success"}, Verdict.WAITS),
        (("Tests", "lint"), {"tests": "success", "lint": "success"}, Verdict.PASSED),
        (("Tests",), {"tests": "success", "docs": "failure"}, Verdict.PASSED),
    ],
)
def test_verdict_follows_from_what_each_workflow_said(wanted, conclusions, verdict):
    results = [result(name=name, conclusion=said) for name, said in conclusions.items()]
    assert ci.judge(wanted, results)[0] is verdict


def test_newest_attempt_counts_whatever_came_first_or_twice(tmp_path):
    results = Results(tmp_path / "ci")
    repeated, failed = result(attempt=2), result(conclusion="failure")
    for one in (repeated, failed, failed, repeated):
        results.note(one)
    results.note(result("b" * 40, "failure", run=9))
    assert results.of(A) == [repeated]
    results.note(result(conclusion="failure", run=2))
    assert results.of(A)[0].conclusion == "failure"


def test_damaged_result_is_set_aside_and_an_old_one_removed(tmp_path):
    results = Results(tmp_path)
    results.note(result())
    [path] = tmp_path.iterdir()
    path.write_text('{"revision": 1}')
    assert results.of(A) == []
    results.note(result())
    os.utime(path, (0, 0))
    results.sweep(datetime.now(UTC))
    assert not path.exists()


class Gated(Shop):
    """The app of `test_waiting`, with a gate."""

    def __init__(self, home, redis, require_ci):
        super().__init__(home, redis)
        old = self.waiting
        gate = old.app.gate.model_copy(update={"require_ci": require_ci})
        app = old.app.model_copy(update={"gate": gate})
        self.results = Results(self.state.ci)
        self.waiting = type(old)(app, self.state, self.ledger, CLOCK)

    def queue(self, trigger="push", revision=None):
        now = CLOCK.now()
        asked = {"trigger": trigger, "requested_revision": revision, "queued_at": rfc3339(now)}
        one = asked_for(id=new_id(now), options={"force": False, "pull": True}, **asked)
        self.ledger.accept(one, guid=None)
        CLOCK.sleep(0.002)  # the queue is in the order of milliseconds
        return one

    def shown(self, one):
        return self.ledger.get(one.id)


@pytest.fixture
def shop(tmp_path, redis):
    return Gated(tmp_path, redis, require_ci=True)


def test_push_waits_with_the_reason_until_its_own_revision_passed(shop):
    push = shop.queue(revision=NEW)
    assert shop.waiting.untold()
    assert shop.waiting.next() is None
    assert (shop.shown(push)["status"], shop.shown(push)["reason"]) == (
        "queued",
        f"It waits for a successful CI run of {NEW[:12]}.",
    )
    assert not shop.waiting.untold()
    assert not shop.waiting.any(), "nobody starts a process for it every 5 s"
    shop.results.note(result(A))
    assert shop.waiting.next() is None
    shop.results.note(result(NEW))
    assert shop.waiting.any()
    assert shop.waiting.next() == push
    assert shop.head is None


def test_result_that_came_before_the_push_counts(shop):
    shop.results.note(result(NEW))
    push = shop.queue(revision=NEW)
    assert shop.waiting.next() == push


def test_head_that_reconcile_found_waits_too_and_a_person_does_not(shop):
    shop.queue("reconcile", revision=NEW)
    person = shop.queue("api", revision=NEW)
    assert shop.waiting.any()
    assert shop.waiting.next() == person


def test_older_push_is_superseded_while_the_newer_one_waits(shop):
    older = shop.queue(revision=A)
    shop.results.note(result(A))
    newer = shop.queue(revision=NEW)
    assert shop.waiting.any()
    assert shop.waiting.next() is None
    assert shop.shown(older)["status"] == "superseded"
    assert shop.waiting.queued() == [newer]


def test_failed_ci_is_a_decision_with_its_reason(shop, redis):
    push = shop.queue(revision=NEW)
    shop.results.note(result(NEW, "failure"))
    assert shop.waiting.any()
    assert shop.waiting.next() is None
    shown = shop.shown(push)
    assert (shown["status"], shown["error"]["step"]) == ("failed", "accept")
    assert shown["error"]["message"] == "CI failed: tests ended with failure."
    assert (shop.head["revision"], shop.head["decision"]) == (NEW, "failed")
    assert Journal(shop.state.journals / f"{push.id}.jsonl", CLOCK).ended()
    assert not shop.waiting.any()


def test_failed_ci_of_an_older_revision_decides_nothing_about_the_head(shop):
    shop.queue(revision=shop.one)
    shop.results.note(result(shop.one, "failure"))
    assert shop.waiting.next() is None
    assert shop.head is None


def test_run_that_never_comes_is_said_after_the_limit_and_the_push_waits_on(shop, caplog):
    long_ago = CLOCK.now() - timedelta(minutes=61)
    push = asked_for(
        id=new_id(long_ago), requested_revision=NEW, queued_at=rfc3339(long_ago), options={}
    )
    shop.ledger.accept(push, guid=None)
    assert shop.waiting.untold()
    assert shop.waiting.next() is None
    told = shop.shown(push)["reason"]
    assert "and none was delivered within 60 minutes. See that the run went through" in told
    assert "deployment.waits" in caplog.text
    assert not shop.waiting.untold()
    late = of_late_ci([shop.shown(push)])
    assert (late.event, late.about) == ("ci_missing", NEW)
    shop.results.note(result(NEW))
    assert shop.waiting.next() == push
    assert of_late_ci([shop.shown(shop.queue(revision=NEW))]) is None


def test_reason_changes_at_the_limit(shop):
    clock, one = FakeClock(), asked_for(requested_revision=NEW, queued_at="2026-11-22T00:00:00Z")
    patience = shop.waiting.patience
    clock.sleep(3_599)
    assert patience.reason(one, clock.now()).endswith(f"of {NEW[:12]}.")
    clock.sleep(1)
    assert "none was delivered" in patience.reason(one, clock.now())


def test_head_to_which_the_branch_moved_is_not_brought_before_its_ci_passed(shop):
    def judge(**asked):
        attempt = SimpleNamespace(
            app=shop.waiting.app,
            state=shop.state,
            decisions=Decisions(shop.state.decisions),
            deployment=asked_for(**asked),
        )
        gate.judge(attempt, NEW)

    with pytest.raises(SkippedError, match=f"The branch is at {NEW[:12]}, of which CI has not"):
        judge()
    judge(trigger="api")
    judge(options={"force": True})
    assert shop.head is None, "nothing is decided about it"
    shop.results.note(result(NEW))
    judge()
