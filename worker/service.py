"""The long-running processes: the web, and everything in one go.

Little is imported here: the supervisor is there all the time and does nothing.
"""

import logging
import os
import shutil
import signal
import sys
import threading

from redis import RedisError

from worker import configfile, ledger, logs
from worker.adapters.process import Child
from worker.clock import SystemClock
from worker.config import Config
from worker.errors import ConfigError, UnavailableError

log = logging.getLogger(__name__)

SUPERVISE = 0.5  # seconds
REDIS_STARTS = 30.0  # seconds
WEB_STOPS = 15.0  # seconds


def webhook(config: Config) -> int:
    """Run the web process until SIGTERM. Replaces this process by gunicorn."""
    configfile.check_secrets(config)
    environment(config)
    argv = _web(config)
    os.execv(argv[0], argv)  # noqa: S606 - no shell; gunicorn takes over our id and signals
    return 0


def up(config: Config) -> int:
    """Run web, worker and, unless one is configured, a private Redis, until SIGTERM.

    Stops in the order web, worker (a deployment finishes), Redis. A process that
    ends by itself is started again.
    """
    configfile.check_secrets(config)
    environment(config)
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
            redis = _start_redis_again(config, redis)
    running["web"].stop(timeout=WEB_STOPS)
    running["worker"].stop(timeout=None)
    if redis:
        redis.stop(timeout=None)
    return 0


def _start_redis_again(config: Config, ended: Child) -> Child:
    """Return a new Redis, or the ended one: a running deployment goes on without."""
    try:
        return _start_redis(config)
    except UnavailableError as error:
        log.error("redis.missing", extra={"error": str(error)})  # noqa: TRY400 - no traceback
        return ended


def environment(config: Config) -> None:
    """Tell our children where the configuration and Redis are."""
    logs.start()
    os.umask(0o077)
    os.environ["SHEETANCHOR_CONFIG"] = str(config.path)
    os.environ["SHEETANCHOR_REDIS_URL"] = ledger.url_of(config)


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
    home, socket = config.server.state_dir / "redis", ledger.private_socket(config)
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
