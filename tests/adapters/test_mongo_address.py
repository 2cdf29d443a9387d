"""One database in two spellings is one; two databases are two; no password is shown."""

import socket

import pytest

from worker.adapters.mongo_address import Address

SAME = [
    ("mongodb://localhost/shop", "mongodb://127.0.0.1:27017/shop?retryWrites=true"),
    ("mongodb://host.docker.internal:27018/shop", "mongodb://[::1]:27018/shop"),
    (f"mongodb://{socket.gethostname()}/shop", "mongodb://ann:p%40ss@LOCALHOST:27017/shop"),
    ("mongodb://a,b,c/shop?replicaSet=rs0", "mongodb://b:27017/shop"),
    ("mongodb://a/sh%6Fp", "mongodb://a/shop"),
    ("mongodb://a/", "mongodb://a/shop"),  # what the program takes by itself is not known
    ("mongodb+srv://cluster.example.org/shop", "mongodb+srv://ann:x@cluster.example.org/shop"),
]
DIFFERENT = [
    ("mongodb://localhost/shop", "mongodb://localhost/shop_new"),
    ("mongodb://localhost/shop", "mongodb://localhost:27018/shop"),
    ("mongodb://localhost/shop", "mongodb://db.example.org/shop"),
    ("mongodb://192.0.2.1/shop", "mongodb://192.0.2.2/shop"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_spellings_of_one_database_are_the_same(one, other):
    assert Address.of(one).same(Address.of(other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_server_port_or_database_is_another_address(one, other):
    assert not Address.of(one).same(Address.of(other))


def test_databases_that_the_configuration_lists_replace_the_path():
    listed = Address.of("mongodb://localhost/admin", ["shop", "log"])

    assert listed.same(Address.of("mongodb://localhost/log"))
    assert not listed.same(Address.of("mongodb://localhost/admin"))


def test_an_address_is_shown_without_user_and_password():
    shown = str(Address.of("mongodb://ann:hunter2@DB.example.org,localhost:1/shop?authSource=x"))

    assert shown == "db.example.org:27017,this host:1/shop"


@pytest.mark.parametrize(
    "text", ["", "redis://localhost/0", "/etc/passwd", "a mongodb://b/c", "mongodb://a:b@c@d:1/e"]
)
def test_what_is_no_mongodb_uri_has_no_address(text):
    assert Address.of(text) is None
