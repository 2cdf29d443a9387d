from datetime import UTC, datetime

import pytest

from worker.cancels import Cancels
from worker.clock import rfc3339
from worker.deployment import Deployment, new_id, view
from worker.errors import CancelledError
from worker.ledger import Ledger
from worker.queue import queue
from worker.state import State


@pytest.fixture
def ledger(redis):
    return Ledger(redis)


@pytest.fixture
def deployer(bearer):
    return bearer("deploy")


@pytest.fixture
def state(config):
    return State.where(config, config.apps["thynk"])


@pytest.fixture
def queued(ledger):
    now = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
    asked = Deployment(
        id=new_id(now), app="thynk", kind="deploy", trigger="push", by="ann", queued_at=rfc3339(now)
    )
    ledger.accept(asked, guid=None)
    return asked


def test_cancel_is_on_disk_before_it_is_accepted(client, deployer, state, queued, redis):
    path = f"/api/v1/deployments/{queued.id}/cancel"

    answer = client.post(path, headers=deployer, json={"reason": "wrong\nbranch"})
    again = client.post(path, headers=deployer)

    assert (answer.status_code, answer.json["status"]) == (202, "accepted")
    assert (answer.json["by"], again.json) == ("deploy-token", answer.json)
    wish = Cancels(state.cancels).of(queued.id)
    assert (wish.deployment, wish.by, wish.reason) == (queued, "deploy-token", "wrongbranch")
    assert wish.at == answer.json["at"]
    assert [list(job.args) for job in queue(redis).jobs] == [["thynk", queued.id]] * 2
    with pytest.raises(CancelledError):
        Cancels(state.cancels).close(queued.id, "now")


@pytest.mark.parametrize(("status", "code"), [("succeeded", 409), ("cancelled", 200)])
def test_cancel_of_what_has_ended_changes_nothing(
    client, deployer, state, ledger, queued, status, code
):
    ledger.publish(view(queued) | {"status": status}, queued)

    answer = client.post(f"/api/v1/deployments/{queued.id}/cancel", headers=deployer)

    assert answer.status_code == code
    assert status in (answer.json.get("detail") or answer.json["status"])
    assert Cancels(state.cancels).all() == []


def test_cancel_after_the_fence_is_a_409_with_a_remedy(client, deployer, state, queued):
    Cancels(state.cancels).close(queued.id, "now")

    answer = client.post(f"/api/v1/deployments/{queued.id}/cancel", headers=deployer)

    assert answer.status_code == 409
    assert answer.json["remedy"] == "Wait for its end, then roll back."


@pytest.mark.parametrize("body", [{"why": "x"}, {"reason": 1}, {"reason": "x" * 501}])
def test_order_that_is_not_as_it_should_be_is_refused(client, deployer, state, queued, body):
    answer = client.post(f"/api/v1/deployments/{queued.id}/cancel", headers=deployer, json=body)

    assert answer.status_code == 400
    assert Cancels(state.cancels).all() == []
