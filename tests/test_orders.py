"""What people ordered, carried out on a real Redis and real files."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from worker import configfile
from worker.carrying import Carrying
from worker.clock import SystemClock
from worker.decisions import Decisions
from worker.journal import Journal, since_resumed
from worker.ledger import Ledger, connect
from worker.orders import Orders
from worker.requests import APPROVE, FREEZE, RESUME, UNFREEZE, Request, Requests
from worker.state import State

TOML = """
[server]
state_dir = "{home}/state"
[apps.shop]
repository = "acme/shop"
checkout = "{home}/shop"
webhook_secret_file = "{home}/secret"
project = "shop"
"""


@pytest.fixture
def orders(tmp_path, redis):
    path = tmp_path / "sheetanchor.toml"
    path.write_text(TOML.format(home=tmp_path))
    config = configfile.load(path)
    app = config.apps["shop"]
    return Orders(app, State.of(config, app), Ledger(redis), SystemClock())


def carry_out(orders):
    return Carrying(orders.app, orders.state, orders.ledger, orders.clock).carry_out()


def decided(orders):
    return Decisions(orders.state.decisions).read()


def hold(orders, kind):
    Decisions(orders.state.decisions).hold(
        kind, by="ann", at="then", reason="mongod was gone", head=None
    )


def leave(orders, verb, second=0, **more):
    """Leave a request; the later one has the smaller id."""
    request = Request(
        id=f"20261122t143000-{99 - second:06d}",
        verb=verb,
        by="bob",
        at=f"2026-11-22T14:30:{second:02d}.000Z",
        **more,
    )
    Requests(orders.state.requests).leave(request)
    return request


def test_requests_are_carried_out_in_the_order_in_which_they_came(orders):
    leave(orders, FREEZE, 1, reason="exams")
    leave(orders, UNFREEZE, 2, reason="passed")
    leave(orders, FREEZE, 3, reason="again")

    assert carry_out(orders)

    found = decided(orders)
    assert (found["hold"]["reason"], found["hold"]["by"]) == ("again", "bob")
    assert found["hold"]["at"] == "2026-11-22T14:30:03.000Z"
    ended = found["ended"]
    assert (ended["hold"]["reason"], ended["by"], ended["reason"]) == ("exams", "bob", "passed")
    assert not carry_out(orders)


def test_request_carried_out_twice_changes_nothing(orders):
    one = leave(orders, FREEZE, reason="exams")
    carry_out(orders)
    before = decided(orders)
    Requests(orders.state.requests).leave(one)

    carry_out(orders)

    assert decided(orders) == before


def test_resume_ends_the_hold_and_has_the_head_looked_at(orders):
    hold(orders, "inconsistent")
    leave(orders, RESUME, reason="mended mongod")

    carry_out(orders)

    found = decided(orders)
    assert found["hold"] is None
    assert found["ended"]["hold"]["kind"] == "inconsistent"
    assert (found["ended"]["by"], found["ended"]["reason"]) == ("bob", "mended mongod")
    (look,) = orders.ledger.queued("shop")
    assert (look.trigger, look.by, look.reason) == ("reconcile", "bob", "a person resumed the app")


def unfinished(orders, **hold):
    """Return the journal of a way back that ended inconsistent."""
    journal = Journal(orders.state.journals / "20261122t143000-3f9a1c.jsonl", orders.clock)
    journal.append("after", "end", "end", {"status": "inconsistent"})
    hold |= {"by": None, "at": "then", "reason": "the port was taken", "head": None}
    Decisions(orders.state.decisions).hold("inconsistent", **hold, deployment=journal.path.stem)
    return journal


def test_resume_of_a_way_back_opens_it_again_and_its_hold_stays_until_its_end(orders):
    journal = unfinished(orders)

    for _ in range(2):  # whoever carries it out may die before it is noted as done
        orders.end("inconsistent", by="bob", at="now", reason="freed it")

    assert not journal.ended()
    [said] = since_resumed(journal.records())
    assert said["facts"] == {"by": "bob", "reason": "freed it"}
    assert decided(orders)["hold"]["kind"] == "inconsistent"


def test_resume_leaves_a_freeze_in_force(orders):
    hold(orders, "frozen")
    hold(orders, "inconsistent")

    orders.end("inconsistent", by="bob", at="now", reason=None)

    assert decided(orders)["hold"]["kind"] == "frozen"


@pytest.mark.parametrize("verb", [FREEZE, UNFREEZE])
def test_inconsistent_app_is_neither_frozen_nor_unfrozen(orders, verb):
    hold(orders, "frozen")
    hold(orders, "inconsistent")
    before = decided(orders)
    leave(orders, verb)

    assert carry_out(orders)

    assert decided(orders) == before
    assert orders.ledger.queued("shop") == []


@pytest.mark.parametrize("held", ["rolled_back", None])
def test_resume_of_what_is_not_inconsistent_changes_nothing(orders, held):
    if held:
        hold(orders, held)
    before = decided(orders)

    assert orders.end("inconsistent", by="bob", at="now", reason=None) is None

    assert decided(orders) == before
    assert orders.ledger.queued("shop") == []


def test_hold_ends_also_while_redis_is_down(orders, own_redis):
    hold(orders, "inconsistent")
    own_redis.stop()
    alone = Orders(
        orders.app, orders.state, Ledger(connect(own_redis.url, for_web=True)), SystemClock()
    )

    assert alone.end("inconsistent", by="bob", at="now", reason=None) is None

    assert decided(orders)["hold"] is None


def test_approval_of_what_was_not_refused_approves_nothing(orders):
    leave(orders, APPROVE, deployment="20261122t143000-3f9a1c")

    assert carry_out(orders)

    assert not orders.state.approvals.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"id": "mine", "verb": "freeze"}',
        '{"id": "../mine", "verb": "freeze", "by": "eve", "at": "now"}',
        '{"id": "mine", "verb": "thaw", "by": "eve", "at": "now"}',
        '{"id": "mine", "verb": "freeze", "by": "eve", "at": 7}',
    ],
)
def test_file_that_is_no_request_is_set_aside_and_the_requests_are_carried_out(
    orders, text, caplog
):
    leave(orders, FREEZE, reason="exams")
    mine = orders.state.requests / "mine.json"
    mine.write_text(text)

    assert carry_out(orders)
    assert not carry_out(orders)

    assert decided(orders)["hold"]["reason"] == "exams"
    assert [one.message for one in caplog.records].count("file.set_aside") == 1
    assert [one.read_text() for one in orders.state.requests.iterdir()] == [text]


def test_folder_among_the_requests_is_set_aside(orders):
    (orders.state.requests / "mine.json").mkdir(parents=True)

    assert not carry_out(orders)

    (aside,) = orders.state.requests.iterdir()
    assert (aside.is_dir(), aside.suffix != ".json") == (True, True)


@pytest.mark.parametrize("reason", [None, "looked at it"])
def test_resume_over_data_that_was_not_put_back_needs_a_reason(orders, reason):
    owed = "20261122_143000"
    at = {"by": None, "at": "then", "reason": "mongod was gone", "head": None}
    Decisions(orders.state.decisions).hold("inconsistent", **at, restore=owed)
    leave(orders, RESUME, reason=reason)

    assert carry_out(orders)

    hold = decided(orders)["hold"]
    assert (hold or {}).get("restore") == (None if reason else owed)


class Docker:
    """A Docker with one container of the app."""

    def __init__(self, *, running):
        self.there = [SimpleNamespace(running=running)]

    def containers(self, project):
        return self.there if project == "shop" else []


@pytest.mark.parametrize("running", [True, False])
def test_resume_with_data_as_it_is_goes_on_without_it_unless_somebody_runs_the_app(orders, running):
    journal = unfinished(orders, restore="20261122_143000")
    asked = leave(orders, RESUME, reason="loaded it by hand")

    replace(orders, engine=Docker(running=running)).obey(asked)

    assert journal.ended() is running
    assert (decided(orders)["hold"] is None) is running
    said = [one["facts"]["keeps_data"] for one in since_resumed(journal.records())]
    assert said == ([] if running else [True])
