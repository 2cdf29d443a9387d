"""Who else gets into Redis: a real one, listening as people's own do."""

import logging
import os
import socket

import pytest

from tests.conftest import SAFE
from worker.errors import UnavailableError
from worker.ledger import connect
from worker.ledger.reach import exposed, warn


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


OPEN = ("--bind", "0.0.0.0 ::1", "--protected-mode", "no")


@pytest.mark.parametrize(
    ("options", "how"),
    [
        (OPEN, "0.0.0.0"),
        (("--bind", "*", "--protected-mode", "no"), "*"),
        (("--bind", "0.0.0.0", "--protected-mode", "yes"), None),
        (("--bind", "127.0.0.1 -::1", "--protected-mode", "no"), None),
    ],
    ids=["all-v4", "all", "protected", "loopback"],
)
def test_redis_that_the_network_gets_into_is_told_of(redis_with, options, how, caplog):
    redis = redis_with(*SAFE, *options, "--port", free_port()).client

    assert [how in one for one in exposed(redis)] == ([True] if how else [])
    with caplog.at_level(logging.WARNING):
        warn(redis)
    assert ("redis.exposed" in caplog.text) == bool(how)


def test_password_or_acl_closes_it(own_redis):
    redis = own_redis.client
    redis.config_set("bind", "0.0.0.0")
    redis.config_set("protected-mode", "no")
    redis.config_set("port", free_port())
    assert exposed(redis)

    redis.config_set("requirepass", "a-long-password")

    assert exposed(redis) == []


def test_socket_that_every_user_may_write_to_is_told_of(own_redis):
    assert exposed(own_redis.client) == []

    os.chmod(own_redis.socket, 0o777)

    assert exposed(own_redis.client) == [f"Every user of this host may write to {own_redis.socket}"]


def test_redis_that_does_not_tell_is_not_accused(redis_with):
    assert exposed(redis_with(*SAFE, "--rename-command", "CONFIG", "").client) == []


def test_redis_that_is_away_is_unavailable(own_redis):
    own_redis.stop()

    with pytest.raises(UnavailableError):
        exposed(connect(own_redis.url, for_web=True))
