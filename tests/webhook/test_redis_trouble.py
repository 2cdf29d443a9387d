"""GitHub waits 10 s and never tries again by itself: a 503 must be quick, a 202 true."""

import time

import pytest

from tests.webhook.deliveries import GUID
from worker import queue
from worker.errors import UnavailableError
from worker.ledger import Ledger


@pytest.fixture
def timed(deliver, client_of, own_redis):
    """Deliver to an app on `own_redis`; give the answer and the seconds it took."""
    client = client_of(own_redis)
    deliver(to=client, guid=GUID.replace("7", "8"))  # connections are open, as they mostly are

    def send():
        begin = time.monotonic()
        answer = deliver(to=client)
        return answer, time.monotonic() - begin

    return send


def test_dead_redis_is_a_503_at_once(timed, own_redis):
    own_redis.stop()

    answer, seconds = timed()

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert seconds < 8


def test_frozen_redis_is_a_503_before_github_hangs_up(timed, own_redis):
    own_redis.freeze()

    answer, seconds = timed()

    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert seconds < 8


def test_frozen_redis_at_the_first_delivery_is_a_503_before_github_hangs_up(
    deliver, client_of, own_redis
):
    client = client_of(own_redis)
    own_redis.freeze()
    begin = time.monotonic()

    assert deliver(to=client).status_code == 503
    assert time.monotonic() - begin < 8


def test_full_redis_is_a_503_and_the_redelivery_is_queued(timed, own_redis):
    own_redis.client.config_set("maxmemory", "1")
    assert timed()[0].status_code == 503

    own_redis.client.config_set("maxmemory", "0")

    assert timed()[0].status_code == 202


def test_delivery_after_redis_came_back_is_queued(timed, own_redis):
    own_redis.stop()
    assert timed()[0].status_code == 503

    own_redis.start()

    assert timed()[0].status_code == 202


def test_delivery_that_was_stored_though_it_timed_out_is_not_queued_twice(timed, own_redis):
    own_redis.freeze()
    assert timed()[0].status_code == 503
    own_redis.thaw()  # it now does what it was sent before
    ledger = Ledger(own_redis.client)
    stored = [asked for asked in ledger.queued("thynk") if asked.delivery == GUID]

    answer = timed()[0]

    assert answer.json["status"] == ("duplicate" if stored else "queued")
    assert len([asked for asked in ledger.queued("thynk") if asked.delivery == GUID]) == 1


def test_lost_ring_is_harmless(deliver, redis, monkeypatch, caplog):
    def lost(*_args, **_options):
        raise UnavailableError("Redis is gone.", remedy="Wait.")

    monkeypatch.setattr(queue, "ring", lost)

    answer = deliver()

    assert answer.status_code == 202
    assert [asked.id for asked in Ledger(redis).queued("thynk")] == [answer.json["deployment"]]
    assert "bell.lost" in caplog.text
