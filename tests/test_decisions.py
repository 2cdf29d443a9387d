from dataclasses import replace

import pytest

from worker.decisions import Decisions, in_turn, judge
from worker.deployment import Deployment
from worker.errors import HeldError, SkippedError

A, B = "a" * 40, "b" * 40


def deployment(trigger="push", kind="deploy", **options):
    return Deployment(
        id="20261122t100000-aaaaaa",
        app="shop",
        kind=kind,
        trigger=trigger,
        by="ann",
        queued_at="2026-11-22T10:00:00Z",
        options=options,
    )


@pytest.fixture
def decisions(tmp_path):
    return Decisions(tmp_path / "decisions.json")


def test_a_decided_head_is_not_tried_again_until_it_moves(decisions):
    decisions.decide(B, "rolled_back", "d1", "now", "unhealthy")

    with pytest.raises(SkippedError, match="decided by d1: rolled_back"):
        judge(decisions.read(), deployment(), B, B)
    judge(decisions.read(), deployment(), A, A)
    judge(decisions.read(), deployment(force=True), B, B)
    judge(decisions.read(), deployment("cli"), B, B)


def test_what_runs_is_skipped_for_a_push_and_never_for_a_person(decisions):
    decisions.write(running={"revision": A, "release": "d0"})

    with pytest.raises(SkippedError, match="runs already"):
        judge(decisions.read(), deployment(), A, A)
    judge(decisions.read(), deployment("api"), A, A)


@pytest.mark.parametrize("kind", ["rolled_back", "pinned", "stopped"])
def test_a_hold_lasts_until_a_newer_head(decisions, kind):
    decisions.hold(kind, by="ann", at="now", reason="because", head=B)

    with pytest.raises(SkippedError, match="because"):
        judge(decisions.read(), deployment(), B, B)
    judge(decisions.read(), deployment(), A, A)


def test_inconsistent_stops_people_too_but_not_a_restore(decisions):
    decisions.hold("inconsistent", by=None, at="now", reason="mongod was gone", head=None)

    with pytest.raises(HeldError, match="mongod was gone"):
        judge(decisions.read(), deployment("cli"), A, A)
    judge(decisions.read(), deployment("cli", "restore"), A, A)
    judge(decisions.read(), deployment("cli", force=True), A, A)


def hold(decisions, kind, head=None):
    decisions.hold(kind, by="ann", at="now", reason="because", head=head)


@pytest.mark.parametrize("later", ["rolled_back", "pinned", "stopped", "inconsistent"])
def test_freeze_outlasts_every_later_hold(decisions, later):
    hold(decisions, "frozen")
    hold(decisions, later, B)
    decisions.lift("rolled_back", "pinned", "stopped", "inconsistent", by="bob", at="later")

    assert decisions.read()["hold"]["kind"] == "frozen"
    with pytest.raises(HeldError, match="unfreeze shop"):
        judge(decisions.read(), deployment(), A, A)


def test_end_of_a_freeze_leaves_the_hold_of_a_rollback_in_force(decisions):
    hold(decisions, "rolled_back", B)
    hold(decisions, "frozen")
    hold(decisions, "frozen")
    decisions.lift("frozen", by="bob", at="later")

    with pytest.raises(SkippedError, match="rolled_back"):
        judge(decisions.read(), deployment(), B, B)
    judge(decisions.read(), deployment(), A, A)
    ended = decisions.read()["ended"]
    assert (ended["hold"]["kind"], ended["by"], ended["at"]) == ("frozen", "bob", "later")


def test_newest_automatic_one_supersedes_the_others_and_never_a_persons():
    triggers = ["push", "reconcile", "cli", "push", "api"]
    one, two, person, newest, last = queued = [
        replace(deployment(trigger), id=f"d{number}") for number, trigger in enumerate(triggers)
    ]

    assert in_turn(queued) == (person, [(one, newest), (two, newest)])
    assert in_turn([newest, last]) == (newest, [])
    assert in_turn([]) == (None, [])
