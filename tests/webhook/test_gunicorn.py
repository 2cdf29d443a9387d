"""What only a real gunicorn shows: limits, slow clients, and what happens to a chunked body."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from tests.webhook.deliveries import headers_of, payload
from worker.ledger import Ledger
from worker.ledger.counts import COUNTS

pytestmark = pytest.mark.usefixtures("redis")  # emptied for each test

MIB = 1024 * 1024
BODY = json.dumps(payload()).encode()


def request(*lines, method="POST", path="/hooks/github/thynk"):
    head = [f"{method} {path} HTTP/1.1", "Host: x", *lines]
    return "\r\n".join([*head, "", ""]).encode("latin-1")


def accepted(redis):
    """Return what is stored, but the answers' sums: those come two seconds later."""
    return [key for key in redis.keys("*") if key.decode() != COUNTS]


def lines_of(headers):
    return [f"{name}: {value}" for name, value in headers.items()]


def ask(gunicorn, *parts):
    """Send the parts; return the status and the whole answer."""
    with gunicorn.connect() as client:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before the end
            for part in parts:
                client.sendall(part)
        return answer_of(client)


def answer_of(client):
    received = b""
    with suppress(ConnectionResetError):
        while chunk := client.recv(65_536):
            received += chunk
            head, found, body = received.partition(b"\r\n\r\n")
            length = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")]
            if found and length and len(body) >= int(length[0].split()[1]):
                break
    return (int(received.split()[1]) if received else None), received


def chunked(body, size=65_536):
    for start in range(0, len(body), size):
        part = body[start : start + size]
        yield b"%x\r\n%s\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def test_delivery_is_queued(gunicorn, redis):
    head = request(*lines_of(headers_of(BODY)), f"Content-Length: {len(BODY)}")

    assert ask(gunicorn, head, BODY)[0] == 202
    assert len(Ledger(redis).queued("thynk")) == 1


def test_chunked_delivery_is_queued(gunicorn, redis):
    head = request(*lines_of(headers_of(BODY)), "Transfer-Encoding: chunked")

    assert ask(gunicorn, head, *chunked(BODY, 1000))[0] == 202
    assert len(Ledger(redis).queued("thynk")) == 1


@pytest.mark.parametrize("length", [25 * MIB + 1, 26 * MIB, 10**12])
def test_announced_large_body_is_refused_unread(gunicorn, length):
    head = request(*lines_of(headers_of(BODY)), f"Content-Length: {length}")

    begin = time.monotonic()

    assert ask(gunicorn, head)[0] == 413
    assert time.monotonic() - begin < 8


def test_chunked_body_over_25_mib_is_refused_and_not_cut(gunicorn, redis):
    """Signed as if cut at the limit: were it cut, it would be accepted."""
    padded = json.dumps(payload(compare="x" * 26 * MIB)).encode()
    cut = BODY + b" " * (25 * MIB - len(BODY))
    for body, signed in ((padded, padded), (cut + b" " * MIB, cut)):
        head = request(*lines_of(headers_of(signed)), "Transfer-Encoding: chunked")
        assert ask(gunicorn, head, *chunked(body))[0] == 413

    assert accepted(redis) == []


@pytest.mark.parametrize("how", ["length", "chunked"])
def test_body_of_exactly_25_mib_is_accepted(gunicorn, how):
    body = BODY + b" " * (25 * MIB - len(BODY))
    lines = lines_of(headers_of(body))

    if how == "chunked":
        parts = request(*lines, "Transfer-Encoding: chunked"), *chunked(body)
    else:
        parts = request(*lines, f"Content-Length: {len(body)}"), body

    assert ask(gunicorn, *parts)[0] == 202


def test_frozen_redis_is_a_503_before_github_hangs_up_for_twenty_at_once(gunicorn, redis_server):
    head = request(*lines_of(headers_of(BODY)), f"Content-Length: {len(BODY)}")

    def timed(_):
        begin = time.monotonic()
        return ask(gunicorn, head, BODY)[0], time.monotonic() - begin

    redis_server.freeze()
    try:
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(timed, range(20)))
    finally:
        redis_server.thaw()

    assert {status for status, _ in answers} == {503}
    assert max(seconds for _, seconds in answers) < 8


def test_thousand_slow_clients_keep_no_delivery_waiting(gunicorn, redis):
    head = request(*lines_of(headers_of(BODY)), f"Content-Length: {len(BODY)}")
    with ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(gunicorn.connect()).sendall(head + BODY[:1])
            stack.enter_context(gunicorn.connect()).sendall(b"POST /hooks")
        begin = time.monotonic()
        status, _ = ask(gunicorn, head, BODY)
        seconds = time.monotonic() - begin

    assert (status, seconds < 8) == (202, True)


def test_slow_headers_are_cut_off(gunicorn):
    with gunicorn.connect(15) as client:
        client.sendall(b"POST /hooks/github/thynk HTTP/1.1\r\n")
        begin = time.monotonic()
        assert answer_of(client)[0] in (None, 408)
        assert time.monotonic() - begin < 30


@pytest.mark.slow
def test_slow_body_is_cut_off(gunicorn):
    with gunicorn.connect(40) as client:
        client.sendall(request(*lines_of(headers_of(BODY)), f"Content-Length: {len(BODY)}"))
        begin, ended = time.monotonic(), False
        while not ended and time.monotonic() - begin < 60:
            client.settimeout(1)
            with suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(b" ")
            try:
                ended = answer_of(client)[0] in (None, 408)
            except TimeoutError:
                ended = False

    assert ended


REFUSED = {
    "two-lengths": (["Content-Length: 2", "Content-Length: 3"], {400}),
    "length-and-chunked": (["Content-Length: 2", "Transfer-Encoding: chunked"], {400}),
    "signed-length": (["Content-Length: +2"], {400}),
    "many-headers": ([f"X-{n}: 1" for n in range(120)], {400, 431}),
    "long-header": (["X-Long: " + "x" * 10_000], {400, 431}),
    "gzip": (["Content-Length: 2", "Content-Encoding: gzip"], {401}),
    "no-body": ([], {401}),
    "signature-in-underscores": (
        [f"X_Hub_Signature_256: {headers_of(b'{}')['X-Hub-Signature-256']}", "Content-Length: 2"],
        {401, 400},
    ),
}


@pytest.mark.parametrize(("lines", "statuses"), REFUSED.values(), ids=REFUSED)
def test_malformed_requests_are_refused(gunicorn, redis, lines, statuses):
    assert ask(gunicorn, request(*lines), b"{}")[0] in statuses
    assert accepted(redis) == []


def test_doubled_or_non_ascii_signature_is_the_same_401(gunicorn):
    headers = headers_of(BODY)
    signature = headers.pop("X-Hub-Signature-256")
    end = f"Content-Length: {len(BODY)}"
    answers = []
    for given in ([], [signature, signature], ["sha256=é"], [f"{signature[:-1]}\xff"]):
        lines = [f"X-Hub-Signature-256: {value}" for value in given]
        status, answer = ask(gunicorn, request(*lines_of(headers), *lines, end), BODY)
        answers.append((status, answer.partition(b"\r\n\r\n")[2]))

    assert answers[0][0] == 401
    assert len(set(answers)) == 1


def test_long_address_is_refused(gunicorn):
    assert ask(gunicorn, request(path="/hooks/github/" + "x" * 5000))[0] in {400, 414}


def test_forwarded_headers_are_not_believed(gunicorn):
    lines = [*lines_of(headers_of(BODY, secret=b"wrong")), "X-Forwarded-For: 192.0.2.1"]

    ask(gunicorn, request(*lines, "X-Forwarded-Proto: https", f"Content-Length: {len(BODY)}"), BODY)

    last = gunicorn.log.read_text().splitlines()[-1]
    assert json.loads(last)["event"] == "delivery.refused"
    assert "192.0.2.1" not in last


def test_log_is_json_lines_without_the_secret(gunicorn):
    head = request(*lines_of(headers_of(BODY)), f"Content-Length: {len(BODY)}")
    ask(gunicorn, head, BODY)

    text = gunicorn.log.read_text()
    assert "0123456789abcdef-the-app" not in text
    events = [json.loads(line)["event"] for line in text.splitlines()]
    assert "deployment.queued" in events


def test_chunked_end_that_never_comes_stores_nothing(gunicorn, redis):
    head = request(*lines_of(headers_of(BODY)), "Transfer-Encoding: chunked")
    with gunicorn.connect() as client:
        client.sendall(head + b"%x\r\n%s\r\n" % (len(BODY), BODY))

    assert ask(gunicorn, request(path="/healthz", method="GET"))[0] == 200
    assert accepted(redis) == []


def boot(config_path, redis_url):
    """Load the app as gunicorn does; return the exit code and the last event."""
    env = {"SHEETANCHOR_CONFIG": str(config_path), "PATH": ""}
    env |= {"SHEETANCHOR_REDIS_URL": redis_url} if redis_url else {}
    argv = [sys.executable, "-c", "import webhook.wsgi"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("secret", "mode", "named"),
    [(b"", 0o600, "no secret"), (b"short", 0o600, "under 16"), (b"x" * 32, 0o644, "by others")],
)
def test_web_refuses_to_start_with_a_wrong_secret(
    config_path, redis_url, tmp_path, secret, mode, named
):
    (tmp_path / "shop.secret").write_bytes(secret)
    (tmp_path / "shop.secret").chmod(mode)

    code, said = boot(config_path, redis_url)

    event = json.loads(said.splitlines()[-1])
    assert (code, event["event"]) == (3, "web.refused")
    assert named in event["detail"]
    assert "apps.shop.webhook_secret_file" in event["detail"]


def test_web_refuses_to_start_without_a_safe_redis(config_path, redis_with, own_redis):
    own_redis.stop()

    for url in ("", own_redis.url, redis_with("--appendonly", "no").url):
        code, said = boot(config_path, url)
        assert code == 3
        assert "web.refused" in said


def test_web_starts_when_all_is_well(config_path, redis_url):
    assert boot(config_path, redis_url) == (0, "")
