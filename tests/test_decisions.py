from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.deployments import asked_for
from worker.decisions import Decisions, in_turn, is_put_off, judge, runs
from worker.errors import HeldError, SkippedError

A, B, C, D = (letter * 40 for letter in "abcd")


def deployment(trigger="push", kind="deploy", **options):
    return asked_for(kind=kind, trigger=trigger, options=options)


@pytest.fixture
def decisions(tmp_path):
    return Decisions(tmp_path / "decisions.json")


def test_a_decided_head_is_not_tried_again_until_it_moves(decisions):
    decisions.decide(B, "rolled_back", "d1", "now", "unhealthy")

    with pytest.raises(SkippedError, match="decided by d1: rolled_back"):
        judge(decisions.read(), deployment(), B)
    judge(decisions.read(), deployment(), A)
    judge(decisions.read(), deployment(force=True), B)
    judge(decisions.read(), deployment("cli"), B)


def test_what_runs_is_nothing_to_bring_for_a_push_but_for_a_person(decisions):
    decisions.write(running={"revision": A, "release": "d0"})

    assert runs(decisions.read(), deployment(), A)
    assert not runs(decisions.read(), deployment(), B)
    assert not runs(decisions.read(), deployment("api"), A)
    assert not runs(decisions.read(), deployment(force=True), A)


@pytest.mark.parametrize("kind", ["rolled_back", "pinned", "stopped"])
def test_a_hold_lasts_until_a_newer_head(decisions, kind):
    decisions.hold(kind, by="ann", at="now", reason="because", head=B)

    with pytest.raises(SkippedError, match="because"):
        judge(decisions.read(), deployment(), B)
    judge(decisions.read(), deployment(), A)


@pytest.mark.parametrize("trigger", ["push", "reconcile"])
def test_what_a_person_rolled_back_from_stays_away_when_the_branch_went_back_to_it(
    decisions, trigger
):
    """The last head that was fetched is a newer one, which had failed; nobody saw the move."""
    decisions.decide(C, "failed", "d1", "now", "broken")
    decisions.hold("rolled_back", by="ann", at="now", reason="because", head=C, left=B)

    with pytest.raises(SkippedError, match="because"):
        judge(decisions.read(), deployment(trigger), B)
    decisions.decide(B, "cancelled", "d2", "now", None)
    assert decisions.read()["hold"]["left"] == B
    judge(decisions.read(), deployment(trigger), D)
    decisions.decide(D, "failed", "d3", "now", "broken")
    judge(decisions.read(), deployment(trigger), B)  # after a newer one, a move like any other


def test_inconsistent_stops_people_too_but_not_a_restore(decisions):
    decisions.hold("inconsistent", by=None, at="now", reason="mongod was gone", head=None)

    with pytest.raises(HeldError, match="mongod was gone"):
        judge(decisions.read(), deployment("cli"), A)
    judge(decisions.read(), deployment("cli", "restore"), A)
    judge(decisions.read(), deployment("cli", force=True), A)


def test_remedy_of_lost_data_names_the_backup_and_a_resume_that_is_accepted(decisions):
    about = {"by": None, "at": "now", "reason": "mongod was gone", "head": None}
    decisions.hold("inconsistent", **about, restore="20261122_143000")

    with pytest.raises(HeldError) as refused:
        judge(decisions.read(), deployment(), A)

    assert "`sheetanchor restore shop 20261122_143000`" in refused.value.remedy
    assert "`sheetanchor resume shop --reason WHY`" in refused.value.remedy


def hold(decisions, kind, head=None):
    decisions.hold(kind, by="ann", at="now", reason="because", head=head)


@pytest.mark.parametrize("later", ["rolled_back", "pinned", "stopped", "inconsistent"])
def test_freeze_outlasts_every_later_hold(decisions, later):
    hold(decisions, "frozen")
    hold(decisions, later, B)
    decisions.lift("rolled_back", "pinned", "stopped", "inconsistent", by="bob", at="later")

    assert decisions.read()["hold"]["kind"] == "frozen"
    with pytest.raises(HeldError, match="unfreeze shop"):
        judge(decisions.read(), deployment(), A)


def test_end_of_a_freeze_leaves_the_hold_of_a_rollback_in_force(decisions):
    hold(decisions, "rolled_back", B)
    hold(decisions, "frozen")
    hold(decisions, "frozen")
    decisions.lift("frozen", by="bob", at="later")

    with pytest.raises(SkippedError, match="rolled_back"):
        judge(decisions.read(), deployment(), B)
    judge(decisions.read(), deployment(), A)
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


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_newer_head_ends_the_holds_that_last_until_one_and_no_freeze(decisions):
    hold(decisions, "pinned", A)
    hold(decisions, "frozen")
    decisions.decide(B, "failed", "d1", "now", "broken")
    assert decisions.read()["hold"]["kind"] == "frozen"

    decisions.lift("frozen", by="bob", at="later")

    assert decisions.read()["hold"] is None
    judge(decisions.read(), deployment(), A)  # the branch went back: a move like any other


def test_hold_whose_head_was_unknown_is_about_what_reconcile_finds_and_a_push_is_news(decisions):
    hold(decisions, "stopped")

    with pytest.raises(SkippedError, match="stopped"):
        judge(decisions.read(), deployment("reconcile"), A)
    judge(decisions.read(), deployment("push"), A)


def test_failures_of_the_surroundings_put_a_head_off_for_longer_and_longer(decisions):
    now, pauses = NOON, []
    for _ in range(9):
        assert decisions.postpone(A, "d1", now, "mongod was away", died=False)
        begin = now
        while is_put_off(decisions.read(), A, now):
            now += timedelta(minutes=1)
        pauses.append((now - begin) / timedelta(minutes=1))

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert not is_put_off(decisions.read(), B, begin)
    judge(decisions.read(), deployment(), A)  # a push of it does not wait


def test_newer_head_is_put_off_afresh_and_an_unknown_one_goes_on(decisions):
    decisions.postpone(A, "d1", NOON, "down", died=True)
    decisions.postpone(None, "d2", NOON, "the remote was down", died=False)
    assert decisions.read()["put_off"]["failures"] == 2

    decisions.postpone(B, "d3", NOON, "down", died=False)

    put_off = decisions.read()["put_off"]
    assert (put_off["revision"], put_off["failures"], put_off["deaths"]) == (B, 1, 0)
    decisions.decide(B, "succeeded", "d4", "now", None)
    assert decisions.read()["put_off"] is None


def test_pause_that_a_clock_set_back_made_endless_is_over(decisions):
    decisions.postpone(A, "d1", NOON, "down", died=False)

    assert not is_put_off(decisions.read(), A, NOON - timedelta(days=365))


def test_head_is_tried_three_times_after_a_death_and_no_more(decisions):
    tries = [decisions.postpone(A, "d1", NOON, "killed", died=True) for _ in range(4)]

    assert tries == [True, True, True, False]
