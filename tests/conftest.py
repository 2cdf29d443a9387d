"""A real Redis, set up as in production; time is the only fake."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

SAFE = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")


class RedisServer:
    """A redis-server of our own on a Unix socket; it can be frozen, stopped and started again."""

    def __init__(self, home: Path, options: tuple[str, ...] = SAFE) -> None:
        self.home, self.options = home, options
        self.socket = home / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.client = Redis(unix_socket_path=str(self.socket))
        self.start()

    def start(self) -> None:
        argv = ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--save", ""]
        argv += ["--dir", str(self.home), "--logfile", str(self.home / "log"), *self.options]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        until(self._answers, "redis-server answers")

    def stop(self) -> None:
        """Kill it as the power would; what it acknowledged must be on disk."""
        self.thaw()
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        self.client.close()
        self.stop()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False


def until(condition, what, seconds=60.0):
    """Wait for a condition; fail naming it."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.02)


@contextlib.contextmanager
def running_redis(options=SAFE):
    # not tmp_path: Redis refuses socket paths of 108 bytes and more
    home = Path(tempfile.mkdtemp(prefix="sa-redis-"))
    server = RedisServer(home, options)
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(home)


@pytest.fixture(autouse=True)
def umask():
    """Give the next test the umask back: a command sets that of its whole process."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def redis_server():
    """The session's Redis. Tests that freeze or stop one use `own_redis`."""
    with running_redis() as server:
        yield server


@pytest.fixture
def redis(redis_server):
    """A client of the session's Redis, emptied."""
    redis_server.client.flushall()
    return redis_server.client


@pytest.fixture
def redis_url(redis, redis_server):
    """The address of the session's Redis, emptied."""
    return redis_server.url


@pytest.fixture
def own_redis():
    """A Redis for one test, to be frozen or stopped."""
    with running_redis() as server:
        yield server


@pytest.fixture
def redis_with():
    """Start a Redis with other options: `redis_with("--appendonly", "no")`."""
    with contextlib.ExitStack() as stack:
        yield lambda *options: stack.enter_context(running_redis(options))


@pytest.fixture
def record_property(request):
    """Do as pytest's own, without its warning where results go into XML: it were an error."""
    return lambda name, value: request.node.user_properties.append((name, value))


def pytest_terminal_summary(terminalreporter):
    """Say how many of how many kills were done, for the tests that count them."""
    done, of = Counter(), {}
    reports = [one for many in terminalreporter.stats.values() for one in many]
    for report in reports:
        if getattr(report, "when", None) != "call":
            continue
        for what, count, total in (
            value for key, value in report.user_properties if key == "kills"
        ):
            done[what] += count
            of[what] = total
    for what, total in of.items():
        terminalreporter.write_line(f"killed at {done[what]} of {total} {what}")
