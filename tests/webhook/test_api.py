from datetime import UTC, datetime

import pytest

from tests.webhook.deliveries import REVISION
from webhook.access import OPEN
from worker import queue
from worker.clock import rfc3339
from worker.deployment import Deployment, new_id, view
from worker.ledger import Ledger
from worker.tokens import Role

UNKNOWN = "20261122t143000-000000"


@pytest.fixture
def ledger(redis):
    return Ledger(redis)


@pytest.fixture
def reader(bearer):
    return bearer("read")


@pytest.fixture
def deployer(bearer):
    return bearer("deploy")


def stored(ledger, app="thynk", second=0):
    now = datetime(2026, 11, 22, 14, 30, second, tzinfo=UTC)
    asked = Deployment(
        id=new_id(now), app=app, kind="deploy", trigger="push", by="ann", queued_at=rfc3339(now)
    )
    ledger.accept(asked, guid=None)
    return asked


def is_problem(answer):
    whole = {"type", "title", "status", "detail", "remedy"} == set(answer.json)
    return whole and answer.content_type == "application/problem+json"


def every_path(client):
    """Each rule of the app with made-up values, and paths that are none."""
    for rule in client.application.url_map.iter_rules():
        path = rule.rule.replace("<name>", "thynk").replace("<app>", "thynk")
        for method in rule.methods - {"HEAD"}:
            yield rule.endpoint, method, path.replace("<deployment>", UNKNOWN)
    for path in ("/", "/api", "/api/v1", "/api/v1/none", "/static/x", "/hooks", "/metrics"):
        yield None, "GET", path


def test_everything_but_hook_and_probes_is_closed_without_a_token(client):
    closed = [path for path in every_path(client) if path[0] not in OPEN]
    assert len(closed) > 15

    for number, (_, method, path) in enumerate(closed):
        elsewhere = {"REMOTE_ADDR": f"192.0.2.{number}"}  # failures are counted by address
        answer = client.open(path, method=method, environ_overrides=elsewhere)
        assert (answer.status_code, is_problem(answer)) == (401, True), (method, path)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_only_three_paths_are_open():
    assert sorted(OPEN) == ["hooks.github", "hooks.healthz", "hooks.readyz"]


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer sa_wrong", "Basic {token}", "{token}", "Bearer x{token}"],
)
def test_other_authorizations_are_refused(client, reader, header):
    token = reader["Authorization"].removeprefix("Bearer ")

    answer = client.get("/api/v1/apps", headers={"Authorization": header.format(token=token)})

    assert answer.status_code == 401


@pytest.mark.parametrize("name", ["token", "access_token", "api_key"])
def test_token_in_the_address_is_refused_even_if_valid(client, reader, name):
    token = reader["Authorization"].removeprefix("Bearer ")

    assert client.get(f"/api/v1/apps?{name}={token}").status_code == 400
    assert client.get(f"/api/v1/apps?{name}={token}", headers=reader).status_code == 400


def test_each_role_may_do_what_it_may_and_nothing_more(client, bearer):
    """Of every route, also of those to come: what changes something needs `deploy` or more."""
    headers = {role: bearer(role) for role in Role}
    judged = 0
    for endpoint, method, path in every_path(client):
        if endpoint in OPEN or endpoint is None or method == "OPTIONS":
            continue
        judged += 1
        least = "read" if method == "GET" else "deploy"
        least = "admin" if endpoint == "orders.approve" else least
        for role in Role:
            answer = client.open(path, method=method, headers=headers[role])
            may = role.covers(Role(least))
            assert (answer.status_code == 403) is not may, (role, method, path)
    assert judged >= 20


def test_reader_cannot_change_anything(client, reader, redis):
    changing = [path for path in every_path(client) if path[1] == "POST" and path[0] not in OPEN]
    assert changing

    for _, method, path in changing:
        answer = client.open(path, method=method, headers=reader)
        assert (answer.status_code, is_problem(answer)) == (403, True), path
    assert redis.keys("*") == []


def test_revoked_token_is_refused_at_once(client, reader, config):
    assert client.get("/api/v1/apps", headers=reader).status_code == 200

    (config.server.state_dir / "tokens.json").unlink()

    assert client.get("/api/v1/apps", headers=reader).status_code == 401


def test_answers_are_not_cached_sniffed_or_framed(client, reader):
    for answer in (client.get("/api/v1/apps", headers=reader), client.get("/api/v1/apps")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_apps_show_what_runs(client, reader, ledger):
    asked = stored(ledger)
    running = {"release": asked.id, "revision": REVISION, "since": asked.queued_at, "by": "ann"}
    ledger.put_app("thynk", {"running": running, "hold": None})

    shop, thynk = sorted(
        client.get("/api/v1/apps", headers=reader).json["apps"], key=lambda app: app["app"]
    )

    assert client.get("/api/v1/apps/thynk", headers=reader).json == thynk
    assert (thynk["running"], thynk["last_deployment"]["id"]) == (running, asked.id)
    assert (shop["repository"], shop["last_deployment"]) == ("example/shop", None)


def test_deployment_is_queued_in_the_tokens_name(client, deployer, ledger, redis):
    body = {"revision": REVISION, "force": True, "reason": "It\n\x1b[2Jhurts"}

    answer = client.post("/api/v1/apps/thynk/deployments", json=body, headers=deployer)

    (asked,) = ledger.queued("thynk")
    assert (answer.status_code, answer.json) == (202, {"status": "queued", "deployment": asked.id})
    assert answer.headers["Location"] == f"/api/v1/deployments/{asked.id}"
    assert (asked.kind, asked.trigger, asked.by) == ("deploy", "api", "deploy-token")
    assert (asked.requested_revision, asked.reason) == (REVISION, "It[2Jhurts")
    assert asked.options == {"force": True, "pull": True}
    assert queue.queue(redis).count == 1
    assert client.get(answer.headers["Location"], headers=deployer).json == view(asked)


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_deployment_needs_no_body(client, deployer, ledger, body):
    headers = deployer | {"Content-Type": "application/json"}

    answer = client.post("/api/v1/apps/thynk/deployments", data=body, headers=headers)

    assert answer.status_code == 202
    assert ledger.queued("thynk")[0].options == {"force": False, "pull": True}


def test_each_request_is_a_deployment_of_its_own(client, deployer, ledger):
    for _ in range(2):
        client.post("/api/v1/apps/thynk/deployments", headers=deployer)

    assert len(ledger.queued("thynk")) == 2


@pytest.mark.parametrize(
    "body",
    [
        b'{"revision": "main"}',
        b'{"revision": "--upload-pack=touch canary"}',
        b'{"revision": "6113728"}',
        b'{"revision": "%s\\n"}' % REVISION.encode(),
        b'{"revision": 1}',
        b'{"force": "yes"}',
        b'{"force": 1}',
        b'{"pull": null}',
        b'{"reason": []}',
        b'{"reason": "%s"}' % (b"x" * 501),
        b'{"forced": true}',
        b'{"revision": "%s", "pull": false}' % REVISION.encode(),
        b"[]",
        b"null",
        b"{",
        b'{"force": true, "force": false}',
        b"[" * 60_000,
        b'{"reason": NaN}',
    ],
    ids=lambda body: body[:40].decode(),
)
def test_deployment_that_is_not_as_it_should_be_is_refused(client, deployer, redis, body):
    headers = deployer | {"Content-Type": "application/json"}

    answer = client.post("/api/v1/apps/thynk/deployments", data=body, headers=headers)

    assert (answer.status_code, is_problem(answer)) == (400, True)
    assert redis.keys("*") == []


def test_fault_names_key_and_rule(client, deployer):
    answer = client.post("/api/v1/apps/thynk/deployments", json={"forced": 1}, headers=deployer)

    assert "forced" in answer.json["detail"]
    assert "revision, force, pull, reason" in answer.json["remedy"]


def test_form_of_a_web_page_is_refused(client, deployer):
    answer = client.post("/api/v1/apps/thynk/rollback", data={"data": "keep"}, headers=deployer)

    assert (answer.status_code, is_problem(answer)) == (415, True)


def test_large_request_is_refused(client, deployer):
    body = {"reason": "x" * 70_000}

    answer = client.post("/api/v1/apps/thynk/deployments", json=body, headers=deployer)

    assert (answer.status_code, is_problem(answer)) == (413, True)


def test_rollback_keeps_the_data_unless_asked(client, deployer, ledger):
    answer = client.post("/api/v1/apps/thynk/rollback", headers=deployer)

    (asked,) = ledger.queued("thynk")
    assert answer.status_code == 202
    assert (asked.kind, asked.options) == ("rollback", {"to": None, "data": "keep"})


def test_rollback_can_name_its_goal_and_restore_the_data(client, deployer, ledger):
    goal = stored(ledger)
    body = {"to": goal.id, "data": "restore", "confirm": "thynk"}

    answer = client.post("/api/v1/apps/thynk/rollback", json=body, headers=deployer)

    assert answer.status_code == 202
    assert ledger.queued("thynk")[1].options == {"to": goal.id, "data": "restore"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"data": "restore"}, 400),
        ({"data": "restore", "confirm": "shop"}, 400),
        ({"data": "restore", "confirm": True}, 400),
        ({"data": "drop"}, 400),
        ({"to": "../../etc/passwd"}, 400),
        ({"to": UNKNOWN}, 404),
    ],
)
def test_rollback_that_is_not_as_it_should_be_is_refused(client, deployer, redis, body, status):
    answer = client.post("/api/v1/apps/thynk/rollback", json=body, headers=deployer)

    assert (answer.status_code, is_problem(answer)) == (status, True)
    assert redis.keys("*") == []


def test_restore_is_queued_only_when_the_apps_name_confirms_it(client, bearer, deployer, ledger):
    backup = "20261122_143000"
    path = f"/api/v1/apps/thynk/backups/{backup}/restore"
    confirmed = {"confirm": "thynk", "only": "uploads", "reason": "a lost photo"}
    assert client.post(path, headers=deployer, json=confirmed).status_code == 404
    ledger.put_backups("thynk", [{"id": backup}])
    assert client.post(path, headers=bearer("read"), json=confirmed).status_code == 403
    for body in ({}, {"confirm": "shop"}, confirmed | {"only": "all"}, confirmed | {"force": True}):
        assert client.post(path, headers=deployer, json=body).status_code == 400
    assert ledger.queued("thynk") == []

    answer = client.post(path, headers=deployer, json=confirmed)

    assert answer.status_code == 202
    [queued] = ledger.queued("thynk")
    assert answer.json == {"status": "queued", "deployment": queued.id}
    assert (queued.kind, queued.by, queued.reason) == ("restore", "deploy-token", "a lost photo")
    assert queued.options == {"backup": backup, "only": "uploads"}


def test_rollback_to_another_apps_deployment_is_refused(client, deployer, ledger):
    other = stored(ledger, app="shop")

    answer = client.post("/api/v1/apps/thynk/rollback", json={"to": other.id}, headers=deployer)

    assert answer.status_code == 404
    assert ledger.queued("thynk") == []


def test_history_goes_page_by_page(client, reader, ledger):
    ids = [stored(ledger, second=second).id for second in range(3)]
    path = "/api/v1/apps/thynk/deployments?limit=2"

    first = client.get(path, headers=reader).json
    second = client.get(f"{path}&before={first['next']}", headers=reader).json

    assert [shown["id"] for shown in first["deployments"]] == [ids[2], ids[1]]
    assert [shown["id"] for shown in second["deployments"]] == [ids[0]]
    assert second["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=101",
        "limit=",
        "limit=x",
        "limit=00051234",
        "limit=1&limit=2",
        "before=",
        "before=x",
    ],
)
def test_history_refuses_other_pages(client, reader, query):
    answer = client.get(f"/api/v1/apps/thynk/deployments?{query}", headers=reader)

    assert (answer.status_code, is_problem(answer)) == (400, True)


def test_backups_are_listed(client, reader, ledger):
    path = "/api/v1/apps/thynk/backups"
    assert client.get(path, headers=reader).json == {
        "backups": [],
        "next": None,
    }

    made = {"app": "thynk", "kind": "manual", "created_at": "2026-11-22T14:30:00.000Z"}
    ids = [f"20261122_14300{second}" for second in (3, 2, 1)]
    there = [made | {"id": one, "verified_at": None, "bytes": 0} for one in ids]
    ledger.put_backups("thynk", there)

    assert client.get(path, headers=reader).json == {"backups": there, "next": None}
    first = client.get(f"{path}?limit=2", headers=reader).json
    second = client.get(f"{path}?limit=2&before={first['next']}", headers=reader).json
    assert [one["id"] for one in [*first["backups"], *second["backups"]]] == ids
    assert second["next"] is None
    for query, status in (("before=20261122_143009", 404), ("before=../x", 404), ("page=2", 400)):
        assert client.get(f"{path}?{query}", headers=reader).status_code == status


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/apps/none",
        "/api/v1/apps/none/deployments",
        "/api/v1/apps/none/backups",
        "/api/v1/deployments/none",
        f"/api/v1/deployments/{UNKNOWN}",
        f"/api/v1/deployments/{UNKNOWN}/log",
        "/api/v1/deployments/%2e%2e%2fetc%2fpasswd",
        "/api/v1/deployments/a%00b",
        "/api/v1/nothing",
    ],
)
def test_what_does_not_exist_is_a_problem(client, reader, path):
    answer = client.get(path, headers=reader)

    assert (answer.status_code, is_problem(answer)) == (404, True)


def test_wrong_method_is_a_problem(client, deployer):
    answer = client.delete("/api/v1/apps/thynk", headers=deployer)

    assert (answer.status_code, is_problem(answer)) == (405, True)
    assert "GET" in answer.headers["Allow"]


def test_dead_redis_is_a_503_with_a_remedy(client_of, own_redis, reader):
    client = client_of(own_redis)
    own_redis.stop()

    answer = client.get("/api/v1/apps", headers=reader)

    assert (answer.status_code, is_problem(answer)) == (503, True)
    assert answer.headers["Retry-After"]


def test_crash_shows_nothing_of_its_cause(client, reader, monkeypatch, caplog):
    def crash(*_args):
        raise RuntimeError("inner secret")

    monkeypatch.setattr(Ledger, "app", crash)

    answer = client.get("/api/v1/apps", headers=reader)

    assert (answer.status_code, is_problem(answer)) == (500, True)
    assert "inner secret" not in answer.text
    assert "request.crashed" in caplog.text
