"""Where a restore writes: never to databases that nobody backed up."""

from types import SimpleNamespace

import pytest

from worker.adapters.mongo_address import spelled
from worker.errors import GuardError
from worker.steps import restore
from worker.steps.attempt import Attempt

BEGAN = "mongodb://shop:secret@db1,db2:27018/shop?replicaSet=rs0"


def attempt(uri, noted, databases=()):
    """Return one whose env file names `uri` by now, and of which `noted` was journalled."""
    made = Attempt.__new__(Attempt)
    made.app = SimpleNamespace(
        data=SimpleNamespace(mongodb="env_file:MONGODB_URI", databases=databases)
    )
    made.facts = {"deploy.preflight": {"databases_at": noted}}
    made.mongo, made.mongodb_uri = bool(uri), uri
    return made


def run_is_refused(one):
    with pytest.raises(GuardError) as told:
        restore.run(one)  # before it asks Docker, which this one has not
    return str(told.value)


def test_where_the_databases_are_is_journalled_without_a_secret():
    noted = attempt(BEGAN, None).databases_at

    assert noted == "db1,db2:27018/shop"
    assert attempt(BEGAN, None, ("two", "one")).databases_at == "db1,db2:27018/one,two"
    assert attempt(None, None).databases_at is None
    assert spelled("no address") is None


def test_env_file_that_was_edited_since_sends_no_backup_into_another_database():
    noted = attempt(BEGAN, None).databases_at

    told = run_is_refused(attempt("mongodb://db1,db2:27018/staging", noted))

    assert "were at db1,db2:27018/shop when" in told
    assert "names db1,db2:27018/staging" in told
    assert "secret" not in told


@pytest.mark.parametrize("uri", [BEGAN, BEGAN.replace("secret", "another"), None])
def test_the_same_place_or_none_that_is_known_is_no_reason(uri):
    for noted in (None, "db1,db2:27018/shop"):
        with pytest.raises(AttributeError, match="engine"):  # so it was not refused
            restore.run(attempt(uri, noted))
