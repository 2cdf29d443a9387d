"""Limits: of failures by address, of accepted work by app; a valid caller is never refused."""

import json

import pytest

from tests.clocks import FakeClock
from tests.webhook.deliveries import headers_of, payload
from webhook.limits import Window
from worker.ledger import Ledger

BODY = json.dumps(payload()).encode()


def bad_deliveries(client, count, address="192.0.2.1"):
    headers = headers_of(BODY, secret=b"wrong")
    return [
        client.post(
            "/hooks/github/thynk",
            data=BODY,
            headers=headers,
            environ_overrides={"REMOTE_ADDR": address},
        )
        for _ in range(count)
    ]


def test_eleventh_failure_of_a_minute_is_429_and_says_when_to_come_back(client, bearer, caplog):
    answers = bad_deliveries(client, 9)
    here = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.1"}}
    answers += [client.get("/api/v1/apps", **here), client.get("/api/v1/apps", **here)]
    answers += bad_deliveries(client, 1)

    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert "192.0.2.1" in answers[-1].json["detail"]
    assert caplog.messages.count("delivery.refused") == 9
    assert bad_deliveries(client, 1, "192.0.2.2")[0].status_code == 401
    reader = bearer("read")
    assert client.get("/api/v1/apps", headers=reader, **here).status_code == 200
    good = client.post("/hooks/github/thynk", data=BODY, headers=headers_of(BODY), **here)
    assert good.status_code == 202


def test_so_much_work_is_accepted_for_an_app(client, bearer, redis):
    client.application.extensions["limits"].work.most = 3
    deployer, path = bearer("deploy"), "/api/v1/apps/{}/deployments"

    refused = client.post(path.format("thynk"), json={"forced": 1}, headers=deployer)
    answers = [client.post(path.format("thynk"), headers=deployer) for _ in range(4)]

    assert refused.status_code == 400  # it is no work
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert len(Ledger(redis).queued("thynk")) == 3
    assert client.post(path.format("shop"), headers=deployer).status_code == 202
    assert client.get(path.format("thynk"), headers=deployer).status_code == 200


@pytest.fixture
def window():
    return Window(2, 60.0, keys=3, clock=FakeClock())


def test_window_opens_again(window):
    for _ in range(2):
        assert window.left("a") == 0.0
        window.count("a")
    assert window.left("a") == 60.0

    window.clock.sleep(59.0)
    assert window.left("a") == 1.0
    window.clock.sleep(1.0)

    assert window.left("a") == 0.0
    window.count("a")
    assert window.left("a") == 0.0


def test_window_remembers_only_so_many(window):
    for key in map(str, range(10_000)):
        window.count(key)
        window.count(key)

    assert len(window._seen) == 3
    assert window.left("9999") > 0
