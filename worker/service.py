"""The long-running processes: the web, and everything in one go."""

import contextlib
import json
import logging
import os
import shutil
import sys
from typing import Any

from worker import configfile, ledger, logs
from worker.config import Config
from worker.errors import ConfigError, UnavailableError
from worker.ledger import reach

log = logging.getLogger(__name__)

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
    ends by itself is started again. Replaces this process by `worker.supervise`.
    """
    configfile.check_secrets(config)
    environment(config)
    programs = [
        {"name": "worker", "argv": _worker(config), "stops_within": None, "socket": None},
        {"name": "web", "argv": _web(config), "stops_within": WEB_STOPS, "socket": None},
    ]
    if config.server.redis_url:
        refuse_unsafe_redis(config)
    else:
        programs.insert(0, _redis(config))
    log.info("sheetanchor.started", extra={"listen": config.server.listen})
    argv = [sys.executable, "-m", "worker.supervise", json.dumps(programs)]
    os.execv(argv[0], argv)  # noqa: S606 - no shell; it takes over our id and signals
    return 0


def refuse_unsafe_redis(config: Config) -> None:
    """Raise ConfigError for a Redis that may forget; one that is away is waited for.

    One that others get into is only told of.
    """
    redis = ledger.connect(ledger.url_of(config), for_web=True)
    with contextlib.suppress(UnavailableError):
        ledger.check(redis)
        reach.warn(redis)
    redis.close()


def environment(config: Config) -> None:
    """Tell our children where the configuration and Redis are."""
    logs.start()
    os.environ["SHEETANCHOR_CONFIG"] = str(config.path)
    os.environ["SHEETANCHOR_REDIS_URL"] = ledger.url_of(config)


def _worker(config: Config) -> list[str]:
    return [sys.executable, "-m", "worker.cli", "--config", str(config.path), "worker"]


def _web(config: Config) -> list[str]:
    settings = ["--config", "python:webhook.gunicorn_conf", "--bind", config.server.listen]
    return [sys.executable, "-m", "gunicorn", *settings, "webhook.wsgi:app"]


def _redis(config: Config) -> dict[str, Any]:
    """Return how to start the private Redis. Raises ConfigError when there is none."""
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
    return {"name": "redis", "argv": argv, "stops_within": None, "socket": str(socket)}
