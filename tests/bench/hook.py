"""Signed deliveries a second, beside Debian's `webhook` (adnanh/webhook, Go), in the same run.

Run on a quiet machine: `.venv/bin/python -m tests.bench.hook [seconds] [rounds]`; with
`webhook` on PATH (`apt-get install webhook`) there is something to compare with. It checks its
HMAC and starts `true`; ours stores each delivery in a Redis with an fsync for each. 8
connections that are kept, 6.7 kB a delivery, sent as fast as they are answered by a process of
its own. The third row is ours while 50 clients follow a log to which ten lines a second are
written. One JSON object on stdout; memory is PSS, of all of a server's processes.
"""

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import running_redis, until
from tests.deployments import asked_for
from tests.webhook.conftest import configured
from tests.webhook.deliveries import SECRET, headers_of, payload
from worker.clock import rfc3339
from worker.deployment import new_id, view
from worker.ledger import Ledger
from worker.tokens import Tokens

SECONDS, ROUNDS, CONNECTIONS, FOLLOWERS, SIZE = 10.0, 3, 8, 50, 6_700
AIMS = {
    "a_second": 1.0,
    "p99_ms": 0.5,
    "memory_mb": 0.3,
}  # of webhook's: at least, at most, at most


def body():
    content = payload()
    return json.dumps(content | {"padding": "x" * (SIZE - len(json.dumps(content)) - 15)}).encode()


def load(port, seconds):
    """Deliver on all connections for so long; print each answer's status and milliseconds."""
    content, answers = body(), []
    lines = {"Host": "bench", "Content-Length": str(len(content)), **headers_of(content, guid="{}")}
    head = "POST /hooks/github/thynk HTTP/1.1\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in lines.items()
    )
    end = time.monotonic() + seconds

    def connection():
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (begin := time.monotonic()) < end:
                client.sendall(head.replace("{}", str(uuid.uuid4())).encode() + b"\r\n" + content)
                status = read_answer(client)
                answers.append((status, (time.monotonic() - begin) * 1000))

    threads = [threading.Thread(target=connection) for _ in range(CONNECTIONS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    json.dump(answers, sys.stdout)


def read_answer(client):
    """Read one answer, with its body; return its status."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(65_536) or sys.exit("the connection was closed")
    head, _, rest = received.partition(b"\r\n\r\n")
    length = next(
        (
            int(one.split(b":")[1])
            for one in head.lower().split(b"\r\n")
            if b"content-length" in one
        ),
        0,
    )
    while len(rest) < length:
        rest += client.recv(65_536)
    return int(head.split()[1])


def measure(port, seconds, good):
    """Load the server from another process; return the figures of one round."""
    argv = [sys.executable, "-m", "tests.bench.hook", "load", str(port), str(seconds)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    answers = json.loads(done.stdout)
    assert {status for status, _ in answers} == {good}, "not every delivery was accepted"
    taken = [milliseconds for _, milliseconds in answers]
    return {
        "deliveries": len(taken),
        "a_second": len(taken) / seconds,
        "median_ms": statistics.median(taken),
        "p99_ms": statistics.quantiles(taken, n=100)[98],
        "worst_ms": max(taken),
    }


def memory(pid):
    """Return the megabytes of a process and its children."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if pid in (int(stat.parent.name), parent):
                rollup = (stat.parent / "smaps_rollup").read_text()
                total += int(rollup.partition("\nPss:")[2].split()[0]) * 1024
    return total / 1e6


@contextlib.contextmanager
def serving(argv, env=None):
    """Run a server that takes its port where argv says `{port}`; give its id and port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    null = subprocess.DEVNULL
    process = subprocess.Popen(
        [one.format(port=port) for one in argv],
        env=os.environ | (env or {}),
        stdout=null,
        stderr=null,
    )
    try:
        until(lambda: is_open(port), f"{argv[0]} listens")
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def is_open(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def ours(home, seconds, followers=0):
    """Measure ours, on a Redis of its own; every accepted delivery must be stored."""
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(running_redis())
        env = {"SHEETANCHOR_CONFIG": str(configured(home)), "SHEETANCHOR_REDIS_URL": redis.url}
        argv = [sys.executable, "-m", "gunicorn", "--config", "python:webhook.gunicorn_conf"]
        argv += ["--bind", "127.0.0.1:{port}", "webhook.wsgi:app"]
        pid, port = stack.enter_context(serving(argv, env))
        ledger = Ledger(redis.client)
        if followers:
            stack.enter_context(following(home, ledger, port, followers))
        found = measure(port, seconds, 202) | {"memory_mb": memory(pid)}
        stored = len(ledger.queued("thynk"))
        assert stored == found["deliveries"], f"{stored} of {found['deliveries']} are stored"
        return found


@contextlib.contextmanager
def following(home, ledger, port, followers):
    """Have clients follow the log of a deployment that runs, and writes ten lines a second."""
    now, over = datetime.now(UTC), threading.Event()
    asked = asked_for(id=new_id(now), app="shop", queued_at=rfc3339(now))
    ledger.publish(view(asked) | {"status": "running"}, asked)
    token = Tokens(home / "state").create(f"follower-{asked.id[-6:]}", "read")
    head = f"GET /api/v1/deployments/{asked.id}/log HTTP/1.1\r\nHost: bench\r\n"
    head += f"Authorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n"
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(followers)]

    def write():
        while not over.wait(0.1):
            ledger.append_log(asked.id, "#7 12.3 a line of a build, as they come")

    writer = threading.Thread(target=write)
    try:
        for client in clients:
            client.sendall(head.encode())
        assert all(client.recv(100).startswith(b"HTTP/1.1 200") for client in clients)
        writer.start()
        yield
    finally:
        over.set()
        writer.join()
        for client in clients:
            client.close()


def theirs(home, seconds):
    """Measure Debian's webhook."""
    parameter = {"source": "header", "name": "X-Hub-Signature-256"}
    match = {"type": "payload-hmac-sha256", "secret": SECRET.decode(), "parameter": parameter}
    hook = {
        "id": "thynk",
        "execute-command": shutil.which("true"),
        "trigger-rule": {"match": match},
    }
    (home / "hooks.json").write_text(json.dumps([hook]))
    argv = ["webhook", "-hooks", str(home / "hooks.json"), "-ip", "127.0.0.1", "-port", "{port}"]
    with serving([*argv, "-urlprefix", "hooks/github"]) as (pid, port):
        return measure(port, seconds, 200) | {"memory_mb": memory(pid)}


def middle(rounds):
    return {key: round(statistics.median(one[key] for one in rounds), 2) for key in rounds[0]}


def main():
    if sys.argv[1:2] == ["load"]:
        return load(int(sys.argv[2]), float(sys.argv[3]))
    given = [*sys.argv[1:], *[str(SECONDS), str(ROUNDS)][len(sys.argv) - 1 :]]
    seconds, rounds = float(given[0]), int(given[1])
    kinds = {"ours": ours, f"ours, {FOLLOWERS} followers": lambda h, s: ours(h, s, FOLLOWERS)}
    if shutil.which("webhook"):
        kinds["webhook"] = theirs
    measured = {name: [] for name in kinds}
    for _ in range(rounds):  # in turn, so that a change of the machine meets all
        for name, kind in kinds.items():
            home = Path(tempfile.mkdtemp(prefix="sa-bench-"))
            try:
                measured[name].append(kind(home, seconds))
            finally:
                shutil.rmtree(home)
    result = {name: middle(found) for name, found in measured.items()}
    if "webhook" in result:
        ratios = {key: round(result["ours"][key] / result["webhook"][key], 2) for key in AIMS}
        result |= {"ratios": ratios, "aims": AIMS}
    json.dump(result, sys.stdout, indent=1)
    sys.stdout.write("\n")
    return None


if __name__ == "__main__":
    main()
