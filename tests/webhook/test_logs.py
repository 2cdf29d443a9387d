"""A deployment's log as text and as events: in this process, and followed through gunicorn."""

import json
import time
from contextlib import ExitStack

import pytest

from tests.deployments import asked_for
from tests.webhook.deliveries import headers_of, payload
from webhook import logs
from worker.deployment import view
from worker.ledger import Ledger
from worker.tokens import Tokens

EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture
def ledger(redis):
    return Ledger(redis)


@pytest.fixture
def asked(ledger):
    asked = asked_for(app="thynk")
    ledger.accept(asked, guid=None)
    return asked


@pytest.fixture
def path(asked):
    return f"/api/v1/deployments/{asked.id}/log"


@pytest.fixture
def reader(bearer):
    return bearer("read")


def end(ledger, asked, status="succeeded"):
    ledger.publish(view(asked) | {"status": status}, asked)


def events(text):
    """Return id, event and data of each event of a stream."""
    found = []
    for block in text.split("\n\n"):
        lines = [line.partition(": ")[::2] for line in block.splitlines()]
        fields = {name: value for name, value in lines if name in {"id", "event"}}
        data = "\n".join(value for name, value in lines if name == "data")
        if "id" in fields:
            found.append((int(fields["id"]), fields.get("event"), data))
    return found


def test_log_is_text_never_a_page(client, reader, ledger, asked, path, monkeypatch):
    monkeypatch.setattr(logs, "PAGE", 2)
    ledger.append_log(asked.id, "<script>alert(1)</script>", "é", "3", "4", "5")

    for accept in ("*/*", "text/plain", "text/html, */*;q=0.1", "text/plain, text/event-stream"):
        answer = client.get(path, headers=reader | {"Accept": accept})
        assert answer.text == "<script>alert(1)</script>\né\n3\n4\n5\n"
        assert answer.content_type == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_ended_log_is_events_and_an_end(client, reader, ledger, asked, path):
    ledger.append_log(asked.id, "one", "two\rand\nmore", "")
    end(ledger, asked, "rolled_back")

    answer = client.get(path, headers=reader | EVENTS)

    assert answer.content_type == "text/event-stream; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    *lines, (last, event, data) = events(answer.text)
    assert lines == [(1, None, "one"), (2, None, "two\nand\nmore"), (3, None, "")]
    assert (last, event) == (3, "end")
    assert json.loads(data) == {"deployment": asked.id, "status": "rolled_back"}


def test_follower_who_comes_back_misses_nothing(client, reader, ledger, asked, path):
    ledger.append_log(asked.id, "one", "two", "three")
    end(ledger, asked)

    for seen, expected in (("1", ["two", "three"]), ("3", []), ("999999999", [])):
        answer = client.get(path, headers=reader | EVENTS | {"Last-Event-ID": seen})
        assert [data for _, event, data in events(answer.text) if event is None] == expected
        assert "event: end" in answer.text


@pytest.mark.parametrize("seen", ["-1", "x", "1e3", "1234567890", "٣", "1, 2"])
def test_other_ids_of_events_are_refused(client, reader, path, seen):
    headers = reader | EVENTS | {"Last-Event-ID": seen.encode().decode("latin-1")}

    assert client.get(path, headers=headers).status_code == 400


def test_silent_log_is_kept_alive_and_ends_with_the_token(
    client, bearer, config, path, monkeypatch
):
    monkeypatch.setattr(logs, "ALIVE", 0.0)
    monkeypatch.setattr(logs, "EVERY", 0.01)
    answer = client.get(path, headers=bearer("read") | EVENTS, buffered=False)
    stream = answer.iter_encoded()
    assert next(stream) == b"retry: 2000\n\n"
    assert next(stream) == b": nothing new\n\n"

    Tokens(config.server.state_dir).revoke("read-token")

    assert b"end" not in b"".join(stream)


def test_only_so_many_may_follow(client, reader, path, monkeypatch):
    monkeypatch.setattr(logs, "MOST", 1)
    first = client.get(path, headers=reader | EVENTS, buffered=False)
    next(first.iter_encoded())

    second = client.get(path, headers=reader | EVENTS)

    assert (second.status_code, "Retry-After" in second.headers) == (503, True)
    assert client.get(path, headers=reader).status_code == 200
    first.close()
    ended = client.get(path, headers=reader | EVENTS, buffered=False)
    assert ended.status_code == 200


def test_stream_ends_after_a_time_and_when_asked_to_stop(client, reader, path, monkeypatch):
    monkeypatch.setattr(logs, "LONGEST", 0.0)
    assert "event" not in client.get(path, headers=reader | EVENTS).text
    monkeypatch.undo()
    client.application.extensions["followers"].stopping = lambda: True
    assert "event" not in client.get(path, headers=reader | EVENTS).text


def test_log_without_redis_is_503(client_of, own_redis, bearer, reader, asked):
    there = client_of(own_redis)
    Ledger(own_redis.client).accept(asked, guid=None)
    own_redis.stop()

    path = f"/api/v1/deployments/{asked.id}/log"
    answers = [there.get(path, headers=reader | more) for more in ({}, EVENTS)]

    assert [answer.status_code for answer in answers] == [503, 503]


def opened(gunicorn, token, path, *more):
    """Begin to follow; return the connection."""
    client = gunicorn.connect(60)
    lines = [f"GET {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}"]
    lines += ["Accept: text/event-stream", *more, "", ""]
    client.sendall("\r\n".join(lines).encode())
    return client


def read_until(client, wanted):
    received = b""
    while wanted not in received:
        chunk = client.recv(65_536)
        assert chunk, received
        received += chunk
    return received


def test_log_is_followed_live_by_fifty_and_no_delivery_waits(gunicorn, ledger, asked, path):
    token = Tokens(gunicorn.state_dir).create("followers", "read")
    body = json.dumps(payload()).encode()
    ledger.append_log(asked.id, "first")
    with ExitStack() as stack:
        many = [stack.enter_context(opened(gunicorn, token, path)) for _ in range(50)]
        for one in many:
            read_until(one, b"data: first")

        begun = time.monotonic()
        ledger.append_log(asked.id, "second")
        for one in many:
            read_until(one, b"id: 2\ndata: second")
        assert time.monotonic() - begun < 20

        begun = time.monotonic()
        with gunicorn.connect() as delivering:
            head = [f"{name}: {value}" for name, value in headers_of(body).items()]
            lines = ["POST /hooks/github/thynk HTTP/1.1", "Host: x", *head]
            lines += [f"Content-Length: {len(body)}", "", ""]
            delivering.sendall("\r\n".join(lines).encode() + body)
            assert delivering.recv(100).startswith(b"HTTP/1.1 202")
        assert time.monotonic() - begun < 8

        back = stack.enter_context(opened(gunicorn, token, path, "Last-Event-ID: 1"))
        assert b"data: first" not in read_until(back, b"id: 2\ndata: second")
        end(ledger, asked)
        for one in [*many, back]:
            assert b"event: end" in read_until(one, b'"status": "succeeded"')
