"""Rows of the threat table that are about the API and belong to no call of it alone."""

import pytest

from tests.webhook.test_api import every_path
from webhook.access import OPEN
from worker.ledger import Ledger

EVIL = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}


def test_no_link_is_made_of_what_the_client_says_of_the_host(client, bearer):
    deployer = bearer("deploy")
    for path in ("deployments", "stop", "backups"):
        answer = client.post(f"/api/v1/apps/thynk/{path}", headers=deployer | EVIL)
        assert answer.headers["Location"].startswith("/api/v1/"), path
        assert "evil" not in str(answer.headers) + answer.text


def test_cookies_and_forms_of_another_site_change_nothing(client, bearer, redis):
    """A browser sends cookies and forms by itself; a header with a token it does not."""
    token = bearer("admin")["Authorization"].removeprefix("Bearer ")
    for name in ("session", "token", "Authorization"):
        client.set_cookie(name, token)
    form = {"data": {"token": token, "confirm": "thynk"}, "headers": {"Origin": "https://evil"}}

    for number, (endpoint, method, path) in enumerate(every_path(client)):
        if method == "POST" and endpoint not in OPEN:
            elsewhere = {"REMOTE_ADDR": f"192.0.2.{number}"}
            answer = client.post(path, **form, environ_overrides=elsewhere)
            assert answer.status_code == 401, path
    assert redis.keys("*") == []


def test_nothing_is_changed_by_reading(client, bearer, config, redis):
    headers, state = bearer("admin"), config.server.state_dir
    Ledger(redis).put_app("thynk", {"name": "thynk", "hold": None})
    before = {key: redis.dump(key) for key in redis.keys("*")}, sorted(state.rglob("*"))

    for _, method, path in every_path(client):
        if method == "GET":
            assert client.get(path, headers=headers).status_code in (200, 404, 503), path
            client.head(path, headers=headers)

    assert ({key: redis.dump(key) for key in redis.keys("*")}, sorted(state.rglob("*"))) == before


@pytest.mark.parametrize("verb", ["restore", "verify"])
def test_backup_of_another_app_is_none_of_this_one(client, bearer, redis, verb):
    backup = "20261122_143000"
    Ledger(redis).put_backups("shop", [{"id": backup}])
    body = {"confirm": "thynk"} if verb == "restore" else {}

    path = f"/api/v1/apps/thynk/backups/{backup}/{verb}"
    answer = client.post(path, json=body, headers=bearer("admin"))

    assert answer.status_code == 404
    assert Ledger(redis).queued("thynk") == []
