"""The connection to Redis, and whether this Redis may be trusted with what is queued."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from worker.config import Config
from worker.errors import ConfigError, UnavailableError

LONGEST_SOCKET = 107  # bytes
WEB_TIMEOUT = 1.0  # seconds; GitHub waits 10, and a frozen Redis must cost it under 2

_SAFE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


def connect(url: str, *, for_web: bool) -> Redis:
    """Return a client; it connects when first used.

    The web's gives up after a second: redis-py's own ten retries keep GitHub
    waiting for 40 s and more when Redis is frozen (measured).
    """
    if not for_web:
        return Redis.from_url(url)
    return Redis.from_url(
        url,
        socket_timeout=WEB_TIMEOUT,
        socket_connect_timeout=WEB_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )


def check(redis: Redis) -> None:
    """Raise unless this Redis has on disk what it has acknowledged, and evicts nothing.

    Raises ConfigError for its settings, UnavailableError when it does not
    answer or can write no more.
    """
    with translated():
        found = {key: _setting(redis, key) for key in _SAFE}
        written = redis.info("persistence").get("aof_last_write_status", "ok")
    wrong = [
        f"{key} is {found[key]}, not {safe}" for key, safe in _SAFE.items() if found[key] != safe
    ]
    if wrong:
        commands = "; ".join(f"CONFIG SET {key} {safe}" for key, safe in _SAFE.items())
        raise ConfigError(
            f"Redis may lose what it acknowledged: {', '.join(wrong)}.",
            remedy=f"Set these in redis.conf and now ({commands}), or leave out server.redis_url.",
        )
    if written != "ok":
        raise UnavailableError(
            "Redis could not write its append-only file.", remedy="Free space on its disk."
        )


@contextmanager
def translated() -> Iterator[None]:
    """Raise UnavailableError for whatever Redis did not do."""
    try:
        yield
    except RedisError as error:
        raise UnavailableError(
            f"Redis did not do as asked: {error}.",
            remedy="Look whether redis-server runs and its disk has space, then try again.",
        ) from error


def _setting(redis: Redis, key: str) -> str:
    try:
        return str(redis.config_get(key).get(key, "unknown"))
    except ResponseError:  # a hosted Redis may forbid CONFIG
        return "unknown"


def url_of(config: Config) -> str:
    """Return the Redis to use: configured, or the private one that `up` runs."""
    return config.server.redis_url or f"unix://{private_socket(config)}"


def private_socket(config: Config) -> Path:
    """Return the private Redis's socket; the kernel takes no path over 107 bytes."""
    socket = config.server.state_dir / "redis" / "redis.sock"
    if len(str(socket)) <= LONGEST_SOCKET:
        return socket
    digest = hashlib.sha256(str(socket).encode()).hexdigest()[:12]
    return Path("/run") / f"sheetanchor-{digest}" / "redis.sock"
