import pytest

from worker.ledger import Ledger
from worker.queue import queue
from worker.requests import SLOW, Requests
from worker.state import State

ID = "20261122_143000"
PATH = f"/api/v1/apps/thynk/backups/{ID}/verify"


@pytest.fixture
def deployer(bearer):
    return bearer("deploy")


@pytest.fixture
def asked(config):
    return Requests(State.where(config, config.apps["thynk"]).slow, SLOW)


@pytest.fixture
def listed(redis):
    Ledger(redis).put_backups("thynk", [{"id": ID}])


@pytest.mark.usefixtures("listed")
def test_verify_is_on_disk_before_it_is_accepted_and_waits_on_a_queue_of_its_own(
    client, deployer, asked, redis
):
    answer = client.post(PATH, headers=deployer)
    again = client.post(PATH, headers=deployer, json={})

    assert answer.status_code == 202
    [request] = asked.all()
    expected = {"status": "accepted", "app": "thynk", "backup": ID, "request": request.id}
    assert answer.json == again.json == expected
    assert answer.headers["Location"].endswith("/api/v1/apps/thynk/backups")
    assert (request.verb, request.by, request.backup) == ("verify", "deploy-token", ID)
    rung = [list(job.args) for job in queue(redis, slow=True).jobs]
    assert (rung, queue(redis).jobs) == ([["thynk", request.id]] * 2, [])
    shown = client.get("/api/v1/apps/thynk", headers=deployer).json["requests"]
    assert [one["backup"] for one in shown] == [ID]


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize("backup", ["20261122_143001", "..", "x", "%2e%2e", f"{ID}%0a"])
def test_backup_that_is_not_listed_is_a_404(client, deployer, asked, backup):
    answer = client.post(f"/api/v1/apps/thynk/backups/{backup}/verify", headers=deployer)
    assert (answer.status_code, asked.all()) == (404, [])


@pytest.mark.usefixtures("listed")
def test_readers_may_not_and_a_body_that_says_more_is_refused(client, bearer, deployer, asked):
    assert client.post(PATH, headers=bearer("read")).status_code == 403
    assert client.post(PATH, headers=deployer, json={"all": True}).status_code == 400
    assert asked.all() == []


def test_backup_is_asked_for_once_and_waits_on_disk(client, bearer, deployer, asked, redis):
    path = "/api/v1/apps/thynk/backups"
    assert client.post(path, headers=bearer("read")).status_code == 403
    assert client.post(path, headers=deployer, json={"kind": "fence"}).status_code == 400
    answers = [client.post(path, headers=deployer) for _ in range(2)]
    [request] = asked.all()
    assert (request.verb, request.by, request.backup) == ("backup", "deploy-token", None)
    for answer in answers:
        assert answer.status_code == 202
        assert answer.json == {"status": "accepted", "app": "thynk", "request": request.id}
        assert answer.headers["Location"].endswith(path)
    assert [list(job.args) for job in queue(redis, slow=True).jobs] == [["thynk", request.id]] * 2


def test_verify_is_accepted_without_redis(client_of, own_redis, deployer, asked):
    own_redis.stop()

    answer = client_of(own_redis).post(PATH, headers=deployer)

    assert answer.status_code == 202
    assert [one.backup for one in asked.all()] == [ID]
