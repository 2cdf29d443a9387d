import pytest

from tests.deployments import asked_for
from worker.cancels import Cancels
from worker.deployment import view
from worker.errors import CancelledError
from worker.ledger import Ledger
from worker.queue import queue
from worker.requests import Requests
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
    asked = asked_for(app="thynk")
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


@pytest.mark.parametrize("verb", ["freeze", "unfreeze", "resume"])
def test_order_about_a_hold_is_on_disk_before_it_is_accepted(client, deployer, state, redis, verb):
    body = {"reason": "exam week"}

    answer = client.post(f"/api/v1/apps/thynk/{verb}", headers=deployer, json=body)

    assert (answer.status_code, answer.json["status"]) == (202, "accepted")
    (request,) = Requests(state.requests).all()
    assert (request.verb, request.by, request.reason) == (verb, "deploy-token", "exam week")
    assert [list(job.args) for job in queue(redis).jobs] == [["thynk", request.id]]
    shown = client.get(answer.headers["Location"], headers=deployer).json
    assert [(one["verb"], one["id"]) for one in shown["requests"]] == [(verb, request.id)]


def test_order_about_a_hold_needs_no_redis(client_of, own_redis, deployer, state):
    own_redis.stop()

    answer = client_of(own_redis).post("/api/v1/apps/thynk/freeze", headers=deployer)

    assert answer.status_code == 202
    assert [one.verb for one in Requests(state.requests).all()] == ["freeze"]


def test_inconsistent_app_is_resumed_first(client, deployer, state, ledger):
    hold = {"kind": "inconsistent", "at": "then", "reason": "mongod was gone"}
    ledger.put_app("thynk", {"name": "thynk", "hold": hold})

    answers = [
        client.post(f"/api/v1/apps/thynk/{verb}", headers=deployer)
        for verb in ("freeze", "unfreeze", "resume")
    ]

    assert [answer.status_code for answer in answers] == [409, 409, 202]
    assert "mongod was gone" in answers[0].json["detail"]
    assert "apps/thynk/resume" in answers[0].json["remedy"]


def test_resume_over_data_that_was_not_put_back_needs_a_reason(client, deployer, state, ledger):
    hold = {"kind": "inconsistent", "at": "then", "reason": "mongod was gone", "restore": "B"}
    ledger.put_app("thynk", {"name": "thynk", "hold": hold})
    path = "/api/v1/apps/thynk/resume"

    refused = [client.post(path, headers=deployer, json={"reason": why}) for why in (None, " ")]
    given = client.post(path, headers=deployer, json={"reason": "looked at it"})

    assert [answer.status_code for answer in refused] == [400, 400]
    assert "backup B was not put back" in refused[0].json["detail"]
    assert "`sheetanchor restore thynk B`" in refused[0].json["remedy"]
    assert given.status_code == 202
    assert [one.reason for one in Requests(state.requests).all()] == ["looked at it"]


def refused(ledger, queued, **step):
    facts = {"new_privileges": "service web is privileged", **step}
    pull = {"name": "pull", "phase": "deploy", "status": "failed", "facts": facts}
    pull |= {"started_at": queued.queued_at, "seconds": 1.5}
    ledger.publish(view(queued) | {"status": "failed", "steps": [pull]}, queued)


@pytest.mark.parametrize(
    ("fact", "what"), [("new_privileges", "the privileges"), ("lost_data", "the lost mounts")]
)
def test_approval_queues_the_deployment_anew_in_the_admins_name(
    client, bearer, state, ledger, queued, fact, what
):
    refused(ledger, queued, **{"new_privileges": "", fact: "service web has had more"})

    answer = client.post(f"/api/v1/deployments/{queued.id}/approve", headers=bearer("admin"))

    assert (answer.status_code, answer.json["status"]) == (202, "queued")
    (request,) = Requests(state.requests).all()
    assert (request.verb, request.by, request.deployment) == ("approve", "admin-token", queued.id)
    anew = ledger.order(answer.json["deployment"])
    assert (anew.trigger, anew.by, anew.kind, anew.options) == (
        "api",
        "admin-token",
        "deploy",
        queued.options,
    )
    assert anew.reason == f"approved {what} of {queued.id}"


@pytest.mark.parametrize(
    ("role", "privileges", "code"), [("deploy", "x", 403), ("admin", "", 409)], ids=str
)
def test_approval_by_others_or_of_nothing_is_refused(
    client, bearer, state, ledger, queued, role, privileges, code
):
    refused(ledger, queued, new_privileges=privileges)

    answer = client.post(f"/api/v1/deployments/{queued.id}/approve", headers=bearer(role))

    assert answer.status_code == code
    assert Requests(state.requests).all() == []
    assert ledger.history("thynk", 10)[0][0]["id"] == queued.id


@pytest.mark.parametrize("verb", ["stop", "start", "restart"])
def test_containers_are_ordered_about_on_disk_and_the_bell_is_rung(
    client, bearer, deployer, state, redis, verb
):
    path = f"/api/v1/apps/thynk/{verb}"
    assert client.post(path, headers=bearer("read")).status_code == 403
    assert client.post(path, headers=deployer, json={"force": True}).status_code == 400
    assert Requests(state.requests).all() == []

    answer = client.post(path, headers=deployer, json={"reason": "a power cut"})

    (left,) = Requests(state.requests).all()
    assert (answer.status_code, answer.headers["Location"]) == (202, "/api/v1/apps/thynk")
    assert answer.json == {"status": "accepted", "app": "thynk", "request": left.id}
    assert (left.verb, left.by, left.reason) == (verb, "deploy-token", "a power cut")
    assert queue(redis).count == 1
