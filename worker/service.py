"""The long-running processes: web, worker, and both with a private Redis.

A worker is RQ's, on this host's queue, beside the scan. RQ's own supervision
is not relied on: when it gives up (Redis went away, a malformed job), it is
started again in the same process, so that a running job keeps its parent.
"""

import logging
import os
import shutil
import signal
import sys
import threading
from types import FrameType
from typing import Any

from redis import Redis, RedisError
from rq import Worker
from rq.job import Job
from rq.serializers import JSONSerializer

from worker import configfile, jobs, ledger, logs
from worker.adapters.process import Child
from worker.clock import SystemClock
from worker.config import Config
from worker.errors import ConfigError, UnavailableError
from worker.ledger import Ledger
from worker.queue import AllowedJob, queue
from worker.scan import Scan

log = logging.getLogger(__name__)

SUPERVISE = 0.5  # seconds
REDIS_STARTS = 30.0  # seconds
WEB_STOPS = 15.0  # seconds


class BellWorker(Worker):
    """RQ's worker, that tells the scan when a job process was killed."""

    scan: Scan
    stopping: threading.Event

    def handle_work_horse_killed(self, job: Job, *args: Any, **kwargs: Any) -> None:
        """Have the way back begin at once, in a process of its own."""
        log.warning("job.killed", extra={"job": job.id})
        self.scan.wake()

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Let the running job finish; a second signal changes nothing."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call] # RQ has no types there


def worker(config: Config) -> int:
    """Run a worker until SIGTERM; it then finishes the deployment that runs. Exit code 0."""
    _environment(config)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    scan = Scan(config, Ledger(ledger.connect(jobs.redis_url(config), for_web=True)))
    scan.start()
    while not stopping.is_set():
        _answer_bells(config, scan, stopping)
        stopping.wait(1)
    scan.stop()
    _wait_for_jobs()
    return 0


def _answer_bells(config: Config, scan: Scan, stopping: threading.Event) -> None:
    """Run RQ's worker until it gives up or is asked to stop."""
    redis = ledger.connect(jobs.redis_url(config), for_web=False)
    try:
        _wait_for_redis(redis, stopping)
        if stopping.is_set():
            return
        ledger.check(redis)
        bells = BellWorker(
            [queue(redis)],
            connection=redis,
            job_class=AllowedJob,
            serializer=JSONSerializer,
            worker_ttl=60,
            job_monitoring_interval=10,
            maintenance_interval=30,
        )
        bells.scan, bells.stopping = scan, stopping
        bells.work(logging_level="WARNING")
    except (RedisError, UnavailableError, OSError) as error:
        log.warning("bells.lost", extra={"error": str(error)})
    except SystemExit:
        log.warning("bells.stopped")
    finally:
        redis.close()


def _wait_for_redis(redis: Redis, stopping: threading.Event) -> None:
    said = False
    while not stopping.is_set():
        try:
            redis.ping()
        except RedisError as error:
            if not said:
                log.warning("redis.missing", extra={"error": str(error)})
            said = True
            stopping.wait(1)
        else:
            return


def _wait_for_jobs() -> None:
    """Let a job process that RQ lost sight of come to its end."""
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return


def webhook(config: Config) -> int:
    """Run the web process until SIGTERM. Replaces this process by gunicorn."""
    configfile.check_secrets(config)
    _environment(config)
    argv = _web(config)
    os.execv(argv[0], argv)  # noqa: S606 - no shell; gunicorn takes over our id and signals
    return 0


def up(config: Config) -> int:
    """Run web, worker and, unless one is configured, a private Redis, until SIGTERM.

    Stops in the order web, worker (a deployment finishes), Redis. A process that
    ends by itself is started again.
    """
    configfile.check_secrets(config)
    _environment(config)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    commands = {"worker": _worker(config), "web": _web(config)}
    redis = None
    if not config.server.redis_url:
        redis = _start_redis(config)
    running = {name: Child(name, argv, os.environ) for name, argv in commands.items()}
    log.info("sheetanchor.started", extra={"listen": config.server.listen})
    while not stopping.wait(SUPERVISE):
        for name, argv in commands.items():
            if (code := running[name].ended()) is not None:
                log.error("process.ended", extra={"process": name, "exit": code})
                running[name] = Child(name, argv, os.environ)
        if redis and redis.ended() is not None:
            log.error("process.ended", extra={"process": "redis", "exit": redis.ended()})
            redis = _start_redis(config)
    running["web"].stop(timeout=WEB_STOPS)
    running["worker"].stop(timeout=None)
    if redis:
        redis.stop(timeout=None)
    return 0


def _environment(config: Config) -> None:
    """Tell our children where the configuration and Redis are."""
    logs.start()
    os.umask(0o077)
    os.environ["SHEETANCHOR_CONFIG"] = str(config.path)
    os.environ["SHEETANCHOR_REDIS_URL"] = jobs.redis_url(config)


def _worker(config: Config) -> list[str]:
    return [sys.executable, "-m", "worker.cli", "--config", str(config.path), "worker"]


def _web(config: Config) -> list[str]:
    settings = ["--config", "python:webhook.gunicorn_conf", "--bind", config.server.listen]
    return [sys.executable, "-m", "gunicorn", *settings, "webhook.wsgi:app"]


def _start_redis(config: Config) -> Child:
    """Start the private Redis and wait until it answers. Raises ConfigError, UnavailableError."""
    program = shutil.which("redis-server")
    if program is None:
        raise ConfigError(
            "redis-server was not found.", remedy="apt-get install redis-server, or set redis_url."
        )
    home, socket = config.server.state_dir / "redis", jobs.private_socket(config)
    for folder in (home, socket.parent):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    argv = [program, "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
    argv += ["--dir", str(home), "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    argv += ["--maxmemory-policy", "noeviction", "--logfile", str(home / "redis.log")]
    child, clock = Child("redis", argv, os.environ), SystemClock()
    client = ledger.connect(f"unix://{socket}", for_web=True)
    deadline = clock.monotonic() + REDIS_STARTS
    while clock.monotonic() < deadline and child.ended() is None:
        try:
            client.ping()
        except RedisError:
            clock.sleep(0.05)
        else:
            return child
    raise UnavailableError("The private Redis did not start.", remedy=f"Look into {home}.")
