from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from worker import ledger as module
from worker.clock import rfc3339
from worker.deployment import Deployment, new_id, view
from worker.errors import ConfigError, NotFoundError, UnavailableError
from worker.ledger import Ledger, check, connect

START = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)


@pytest.fixture
def ledger(redis):
    return Ledger(redis)


def push(seconds=0, **changes):
    now = START + timedelta(seconds=seconds)
    fields = {"app": "thynk", "kind": "deploy", "trigger": "push", "by": "ann"}
    return Deployment(id=new_id(now), queued_at=rfc3339(now), **fields | changes)


def text(ledger, deployment):
    return "".join(f"{line}\n" for line in ledger.log(deployment, 0, 100_000).lines)


def running(deployment, status="running"):
    return view(deployment) | {"status": status}


def test_accepted_deployment_is_queued_and_shown(ledger):
    asked = push(options={"force": True, "pull": False})

    assert ledger.accept(asked, guid="g1") == (asked.id, True)
    assert ledger.queued("thynk") == [asked]
    assert ledger.get(asked.id) == view(asked)
    assert ledger.apps_with_work() == {"thynk"}


def test_delivery_becomes_one_deployment_however_often_it_comes(ledger):
    first = push()
    ledger.accept(first, guid="g1")

    assert ledger.accept(push(1), guid="g1") == (first.id, False)
    assert ledger.queued("thynk") == [first]


def test_delivery_sent_twenty_times_at_once_becomes_one_deployment(ledger):
    with ThreadPoolExecutor(20) as pool:
        found = set(pool.map(lambda n: ledger.accept(push(n), guid="g1")[0], range(20)))

    assert len(found) == len(ledger.queued("thynk")) == 1


def test_same_guid_for_another_app_is_another_delivery(ledger):
    ledger.accept(push(), guid="g1")

    assert ledger.accept(push(app="shop"), guid="g1")[1]


def test_without_a_guid_each_request_is_new(ledger):
    assert ledger.accept(push(), guid=None)[1]
    assert ledger.accept(push(), guid=None)[1]
    assert len(ledger.queued("thynk")) == 2


def test_delivery_is_remembered_for_over_thirty_days(ledger, redis):
    ledger.accept(push(), guid="g1")

    assert redis.ttl("sheetanchor:delivery:thynk:g1") > 30 * 86_400


def test_what_was_accepted_survives_a_kill(own_redis):
    asked = push()
    Ledger(own_redis.client).accept(asked, guid="g1")
    own_redis.stop()
    own_redis.start()

    assert Ledger(own_redis.client).queued("thynk") == [asked]


def test_queue_is_oldest_first_whatever_the_order_of_arrival(ledger):
    asked = [push(seconds) for seconds in (5, 1, 3)]
    for deployment in asked:
        ledger.accept(deployment, guid=None)

    assert ledger.queued("thynk") == [asked[1], asked[2], asked[0]]


def test_published_deployment_leaves_the_queue_when_it_no_longer_waits(ledger):
    asked = push()
    ledger.accept(asked, guid=None)
    ledger.publish(view(asked))
    assert ledger.queued("thynk") == [asked]

    ledger.publish(running(asked))

    assert ledger.queued("thynk") == []
    assert ledger.apps_with_work() == set()
    assert ledger.get(asked.id)["status"] == "running"


def test_app_keeps_having_work_while_another_of_its_deployments_waits(ledger):
    first, second = push(0), push(1)
    for deployment in (first, second):
        ledger.accept(deployment, guid=None)

    ledger.publish(running(first))

    assert ledger.apps_with_work() == {"thynk"}


def test_deployment_imported_from_a_journal_is_indexed_and_not_queued(ledger):
    asked = push(trigger="cli")

    ledger.publish(running(asked, "succeeded"), asked)

    assert ledger.latest("thynk")["id"] == asked.id
    assert ledger.queued("thynk") == []


def test_redacted_view_still_ends_its_deployment(ledger):
    """An app's name can be a value of its env file, and so be redacted in the view."""
    asked = push()
    ledger.accept(asked, guid=None)

    ledger.publish(running(asked, "succeeded") | {"app": "[redacted]"}, asked)

    assert ledger.queued("thynk") == []
    assert ledger.apps_with_work() == set()


def test_history_is_newest_first_page_by_page(ledger):
    asked = [push(seconds) for seconds in range(5)]
    for deployment in asked:
        ledger.publish(running(deployment), deployment)
    ids = [deployment.id for deployment in reversed(asked)]

    first, after = ledger.history("thynk", 2)
    second, then = ledger.history("thynk", 2, after)
    third, end = ledger.history("thynk", 2, then)

    assert [shown["id"] for shown in first + second + third] == ids
    assert end is None
    with pytest.raises(NotFoundError):
        ledger.history("thynk", 2, "20261122t143000-000000")


def test_full_last_page_has_no_next(ledger):
    for seconds in range(2):
        ledger.accept(push(seconds), guid=None)

    assert ledger.history("thynk", 2)[1] is None


def test_old_deployments_are_forgotten_but_never_queued_ones(ledger, monkeypatch, redis):
    monkeypatch.setattr(module, "HISTORY", 2)
    waiting, *over = [push(seconds) for seconds in range(5)]
    ledger.accept(waiting, guid=None)
    for deployment in over:
        ledger.append_log(deployment.id, "line")
        ledger.publish(running(deployment, "succeeded"), deployment)

    kept = [shown["id"] for shown in ledger.history("thynk", 10)[0]]

    assert kept == [over[3].id, over[2].id, waiting.id]
    assert ledger.get(over[0].id) is None
    assert text(ledger, over[0].id) == ""
    assert len(redis.keys("sheetanchor:log:*")) == 2


def test_log_is_bounded_in_lines_and_width(ledger, monkeypatch):
    monkeypatch.setattr(module, "LOG_LINES", 3)
    ledger.append_log("d1", "x" * 10_000)
    assert len(text(ledger, "d1")) == module.LOG_WIDTH + 1

    ledger.append_log("d1", *map(str, range(5)))

    assert text(ledger, "d1") == "2\n3\n4\n"


def test_log_goes_page_by_page_by_numbers_that_stay_when_old_lines_go(ledger, monkeypatch):
    monkeypatch.setattr(module, "LOG_LINES", 4)
    asked = push()
    ledger.accept(asked, guid=None)
    ledger.append_log(asked.id, *map(str, range(3)))

    first = ledger.log(asked.id, 0, 2)
    assert (first.lines, first.after, first.written, first.status) == (["0", "1"], 2, 3, "queued")
    ledger.append_log(asked.id, *map(str, range(3, 8)))
    second = ledger.log(asked.id, first.after, 3)
    assert (second.first, second.lines, second.written) == (4, ["4", "5", "6"], 8)
    assert ledger.log(asked.id, second.after, 3).lines == ["7"]
    beyond = ledger.log(asked.id, 10**9, 3)
    assert (beyond.first, beyond.lines, beyond.after) == (8, [], 8)

    ledger.replace_log(asked.id, ["8", "9"], 10)

    assert ledger.log(asked.id, 9, 5).lines == ["9"]
    assert ledger.log("none", 0, 5) == module.Page(0, 0, [], None)


def test_log_can_be_replaced_and_holds_any_text(ledger):
    ledger.append_log("d1", "old")

    ledger.replace_log("d1", ["né", "lone \ud800"], 2)

    assert text(ledger, "d1") == "né\nlone ?\n"
    ledger.replace_log("d1", [], 0)
    assert text(ledger, "d1") == ""


def test_state_backups_and_heartbeat_are_kept(ledger):
    assert (ledger.app("thynk"), ledger.backups("thynk")) == (None, [])
    assert not ledger.worker_listening()

    ledger.put_app("thynk", {"revision": "a" * 40})
    ledger.put_backups("thynk", [{"id": "20261122_143000"}])
    ledger.beat()

    assert ledger.app("thynk") == {"revision": "a" * 40}
    assert ledger.backups("thynk") == [{"id": "20261122_143000"}]
    assert ledger.worker_listening()


def test_heartbeat_ends_with_its_worker(ledger, redis):
    ledger.beat()

    assert 0 < redis.ttl(next(redis.scan_iter("sheetanchor:worker:*"))) <= 30


def test_safe_redis_is_accepted(redis):
    check(redis)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--appendonly", "no"], "appendonly is no"),
        (["--appendonly", "yes", "--appendfsync", "everysec"], "appendfsync is everysec"),
        (
            ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "allkeys-lru"],
            "maxmemory-policy is allkeys-lru",
        ),
        (["--rename-command", "CONFIG", ""], "appendonly is unknown"),
    ],
    ids=["no-aof", "everysec", "evicting", "config-forbidden"],
)
def test_redis_that_may_forget_is_refused(redis_with, options, named):
    with pytest.raises(ConfigError, match=named):
        check(redis_with(*options).client)


def test_dead_redis_is_told_from_an_unsafe_one(own_redis):
    own_redis.stop()
    ledger = Ledger(connect(own_redis.url, for_web=True))

    with pytest.raises(UnavailableError):
        check(connect(own_redis.url, for_web=True))
    with pytest.raises(UnavailableError):
        ledger.accept(push(), guid="g1")


def test_full_redis_stores_nothing_of_a_deployment(own_redis):
    full = own_redis.client
    full.config_set("maxmemory", "1")
    with pytest.raises(UnavailableError):
        Ledger(full).accept(push(), guid="g1")

    full.config_set("maxmemory", "0")

    assert full.keys("*") == []
    assert Ledger(full).accept(push(), guid="g1")[1]
