"""What GitHub shows of our deployments: from journals and queue, to a server that is as GitHub."""

import json
import logging
import socket
import threading
import time

import pytest

from tests.clocks import FakeClock
from tests.deployments import asked_for
from tests.github_server import TOKEN, GitHubServer
from worker import configfile
from worker.adapters import github as adapter
from worker.github.telling import Telling
from worker.github.told import Told
from worker.journal import Journal
from worker.ledger import Ledger
from worker.sightings import Sightings
from worker.state import State

TOML = """
[server]
state_dir = "{home}/state"
public_url = "https://deploy.example.org/"
[github]
token_file = "{home}/github.token"
api_url = "{url}"
[apps.shop]
repository = "acme/shop"
public_url = "https://shop.example.org"
checkout = "{home}/shop"
webhook_secret_file = "{home}/secret"
"""
A, B = "a" * 40, "b" * 40
IDS = [f"20261122t14300{n}-3f9a1c" for n in range(10)]
BEFORE, FIRST, SECOND, THIRD = IDS[:4]
LOG = f"https://deploy.example.org/api/v1/deployments/{FIRST}/log"


class Shop:
    """An app whose deployments are told; `begin` and `end` write its journals."""

    def __init__(self, home, redis, server):
        self.server, self.clock = server, FakeClock()
        self.token = home / "github.token"
        self.token.write_text(f"{TOKEN}\n")
        self.token.chmod(0o600)
        path = home / "sheetanchor.toml"
        path.write_text(TOML.format(home=home, url=server.url))
        self.config = configfile.load(path)
        self.app = self.config.apps["shop"]
        self.state = State.of(self.config, self.app)
        self.ledger = Ledger(redis)
        self.told = Told(self.state.github, self.clock)
        self.restart()
        self.tell()  # from now on

    def restart(self):
        sightings = Sightings(self.app, self.state, self.ledger, self.clock)
        self.telling = Telling(self.config, self.app, sightings, self.clock)

    def tell(self):
        return self.telling.tell()

    def queue(self, name=FIRST, revision=A, **fields):
        asked = asked_for(id=name, requested_revision=revision, **fields)
        self.ledger.accept(asked, guid=None)
        return asked

    def begin(self, name=FIRST, revision=A, brings=None, **fields):
        asked = asked_for(id=name, requested_revision=revision, **fields)
        journal = Journal.begin(self.state.journals, asked, self.clock)
        journal.append("deploy", "preflight", "intent", {"revision": brings or revision})
        return journal

    def end(self, journal, status, **facts):
        journal.append("after", "end", "end", {"status": status, **facts})


@pytest.fixture
def server():
    made = GitHubServer()
    yield made
    made.close()


@pytest.fixture
def shop(tmp_path, redis, server):
    return Shop(tmp_path, redis, server)


def test_push_is_shown_from_queued_to_succeeded(shop, server):
    shop.queue()
    shop.tell()
    assert server.shown(A) == {
        "state": "pending",
        "context": "deploy/shop",
        "description": "Waits to be deployed.",
        "target_url": LOG,
    }
    journal = shop.begin()
    shop.tell()
    assert server.shown(A)["description"] == "Is being deployed."
    shop.end(journal, "succeeded")
    shop.tell()

    assert [one["state"] for _, one in server.statuses] == ["pending", "pending", "success"]
    [made] = server.deployments
    assert (made["ref"], made["environment"], made["auto_merge"]) == (A, "shop", False)
    assert server.states(1) == ["queued", "in_progress", "success"]
    assert made["statuses"][-1]["log_url"] == LOG
    assert made["statuses"][-1]["environment_url"] == "https://shop.example.org"
    asked = len(server.asked)
    assert not shop.tell()
    assert len(server.asked) == asked, "nothing is told twice"


@pytest.mark.parametrize(
    ("status", "state", "deployed"),
    [
        ("failed", "failure", "failure"),
        ("rolled_back", "failure", "failure"),
        ("inconsistent", "error", "error"),
        ("cancelled", "error", "inactive"),
        ("skipped", "success", "inactive"),
    ],
)
def test_each_end_has_its_state(shop, server, status, state, deployed):
    journal = shop.begin()
    shop.tell()
    shop.end(journal, status, reason="secret plans", error={"message": "secret plans"})
    shop.tell()
    assert (server.shown(A)["state"], server.states(1)[-1]) == (state, deployed)
    assert "secret plans" not in json.dumps(server.asked), "the repository may be public"


def test_held_push_waits_and_creates_no_deployment(shop, server):
    reason = "The app is held (frozen, since then): exam week"
    shop.end(shop.begin(), "skipped", reason=reason)
    shop.tell()
    assert (server.shown(A)["state"], server.deployments) == ("pending", [])


def test_redelivery_that_is_skipped_hides_no_failure_also_of_before(shop, server):
    shop.end(shop.begin(BEFORE, queued_at="2026-11-21T00:00:00.000Z"), "failed")
    shop.queue(SECOND)
    shop.tell()
    assert server.shown(A)["state"] == "pending"
    shop.end(shop.begin(SECOND), "skipped", reason=f"Head was decided by {BEFORE}")
    shop.tell()
    assert server.shown(A)["state"] == "failure"
    assert server.shown(A)["target_url"].endswith(f"{BEFORE}/log")


def test_superseded_push_fares_as_the_one_that_took_its_place(shop, server):
    first = Journal.begin(
        shop.state.journals, asked_for(id=FIRST, requested_revision=A), shop.clock
    )
    shop.end(first, "superseded", superseded_by=SECOND)
    second = shop.begin(SECOND, B)
    shop.tell()
    assert (server.shown(A)["state"], server.shown(B)["state"]) == ("pending", "pending")
    shop.end(second, "rolled_back")
    shop.tell()
    assert (server.shown(A)["state"], server.shown(B)["state"]) == ("failure", "failure")
    assert [one["ref"] for one in server.deployments] == [B]


def test_push_that_brings_a_newer_head_is_shown_at_both(shop, server):
    shop.queue()
    shop.tell()
    shop.end(shop.begin(brings=B), "succeeded")
    shop.tell()
    assert (server.shown(A)["state"], server.shown(B)["state"]) == ("success", "success")
    assert (server.states(1)[-1], server.states(2)) == ("inactive", ["success"])


def test_rollback_is_shown_and_a_restore_is_not(shop, server):
    shop.end(shop.begin(FIRST, None, brings=A, kind="rollback", trigger="cli"), "succeeded")
    shop.end(shop.begin(SECOND, None, brings=B, kind="restore", trigger="cli"), "succeeded")
    shop.tell()
    assert (server.shown(A)["state"], server.shown(B)) == ("success", None)


def test_history_from_before_is_not_told(shop, server):
    shop.end(shop.begin(BEFORE, queued_at="2026-11-21T00:00:00.000Z"), "succeeded")
    shop.tell()
    assert server.asked == []


def test_what_was_lost_with_the_queue_is_shown_as_inactive(shop, server, redis):
    shop.queue()
    shop.tell()
    redis.flushall()
    shop.tell()
    assert server.states(1) == ["queued", "inactive"]


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        ((502, {}, b"<html>bad gateway"), 10),
        ((401, {}, {"message": "Bad credentials"}), 10),
        ((403, {"Retry-After": "77"}, {"message": "slow down"}), 77),
        ((429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795305690"}, {}), 90),
        ((403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"}, {}), 3_600),
        ((403, {}, {"message": "You have exceeded a secondary rate limit."}), 60),
        ((201, {}, b"no json"), 10),
    ],
)
def test_what_can_be_told_later_is_and_then_only_as_it_is_by_then(shop, server, answer, pause):
    server.next_answers = [answer]
    journal = shop.begin()
    shop.tell()
    shop.end(journal, "succeeded")
    shop.clock.sleep(pause - 1)
    shop.restart()
    shop.tell()
    assert len(server.asked) == 1
    assert "GitHub answered" in shop.told.view()["failed"]["why"]
    shop.clock.sleep(2)
    shop.tell()
    assert [one["state"] for _, one in server.statuses] == ["success"], "no pending after it"
    assert shop.told.view()["failed"] is None


def test_pauses_grow_to_an_hour(shop, server):
    shop.begin()
    server.next_answers = [(500, {}, {})] * 12
    waited = []
    for _ in range(12):
        shop.tell()
        until = Told(shop.state.github, shop.clock).read()["retry_at"]
        before = shop.clock.passed.total_seconds()
        while shop.told.must_wait(shop.told.read()):
            shop.clock.sleep(10)
        waited.append(shop.clock.passed.total_seconds() - before)
        assert until
    assert waited[:3] == [10, 20, 40]
    assert waited[-1] == 3_600


@pytest.mark.parametrize(
    "answer",
    [
        (403, {}, {"message": "Resource not accessible by personal access token"}),
        (404, {}, {"message": "Not Found"}),
        (422, {}, {"message": "No commit found for SHA"}),
        (301, {"Location": "https://elsewhere.example.org/x"}, {"message": "Moved Permanently"}),
    ],
)
def test_what_is_declined_is_told_once_and_holds_up_nothing_else(shop, server, answer):
    server.next_answers = [answer]
    journal = shop.begin()
    shop.tell()
    assert server.states(1) == ["in_progress"], "the status was declined, the deployment was not"
    shop.tell()
    assert len(server.asked) == 3
    shop.end(journal, "succeeded")
    shop.tell()
    assert server.shown(A)["state"] == "success"


def test_deployment_whose_creation_nobody_saw_is_not_created_again(shop, server, monkeypatch):
    shop.begin()
    create = adapter.GitHub.create_deployment

    def dies(self, deployment):
        create(self, deployment)
        raise KeyboardInterrupt

    monkeypatch.setattr(adapter.GitHub, "create_deployment", dies)
    with pytest.raises(KeyboardInterrupt):
        shop.tell()
    monkeypatch.undo()
    shop.restart()
    shop.tell()
    assert [one["payload"] for one in server.deployments] == [{"deployment": FIRST}]
    assert server.states(1) == ["in_progress"]


@pytest.mark.parametrize("kind", ["hang", "drip", "nobody"])
def test_server_that_never_ends_its_answer_is_left_within_the_limit(
    shop, server, monkeypatch, kind
):
    monkeypatch.setattr(adapter, "WITHIN", 1.0)
    if kind == "hang":
        server.next_answers = ["hang"]
    else:
        url, ended = dripping(serve=kind == "drip")
        github = shop.config.github.model_copy(update={"api_url": url})
        shop.config = shop.config.model_copy(update={"github": github})
        shop.restart()
    shop.begin()
    begun = time.monotonic()
    shop.tell()
    assert time.monotonic() - begun < 20
    assert "did not answer" in shop.told.view()["failed"]["why"]
    if kind != "hang":
        ended.set()


def dripping(*, serve):
    """Return the address of a server that sends a byte of its headers now and then."""
    ended, listener = threading.Event(), socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    if not serve:
        listener.close()
        return url, ended

    def drip():
        client, _ = listener.accept()
        with listener, client:
            client.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not ended.wait(0.1):
                try:
                    client.sendall(b"x")
                except OSError:
                    return

    threading.Thread(target=drip, daemon=True).start()
    return url, ended


def test_token_that_others_can_read_is_not_sent_and_none_is_ever_shown(shop, server, caplog):
    caplog.set_level(logging.DEBUG)
    shop.token.chmod(0o644)
    shop.begin()
    shop.tell()
    assert server.asked == []
    assert "can be read by others" in shop.told.view()["failed"]["why"]
    shop.token.chmod(0o600)
    server.next_answers = [(500, {}, {"message": f"you sent Bearer {TOKEN}"})]
    shop.clock.sleep(60)
    shop.tell()
    failed = shop.told.view()["failed"]
    assert "GitHub answered 500 (you sent Bearer [redacted])" in failed["why"]
    assert TOKEN not in caplog.text + shop.state.github.read_text() + repr(shop.telling)


def test_redis_that_is_away_makes_nothing_lost(shop, server, own_redis):
    shop.ledger = Ledger(own_redis.client)
    shop.restart()
    shop.queue()
    shop.tell()
    own_redis.stop()
    shop.tell()
    assert server.states(1) == ["queued"]
    own_redis.start()
    shop.tell()
    assert len(server.deployments) == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"since": 1}'])
def test_damaged_file_is_set_aside_and_it_goes_on_from_now(shop, server, text):
    shop.state.github.write_text(text)
    shop.begin()
    shop.tell()
    assert shop.told.view()["failed"] is None
