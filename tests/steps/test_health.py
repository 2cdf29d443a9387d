"""When a release is well, judged from its containers as Docker shows them."""

import json
from types import SimpleNamespace

import pytest

from worker.adapters.containers import Container
from worker.errors import HealthError
from worker.release import Release
from worker.steps import health


def container(service="job", number=1, **seen):
    known = {
        "id": f"{service}-{number}",
        "name": f"shop-{service}-{number}",
        "project": "shop",
        "service": service,
        "number": number,
        "policy": {"Name": "on-failure", "MaximumRetryCount": 5},
        "status": "running",
        "exit_code": 0,
        "health": None,
        "restarts": 0,
        "started_at": "then",
        "depends_on": (),
        "mounts": (),
    }
    others = {name: None for name in Container.__dataclass_fields__ if name not in known}
    return Container(**{**others, **known, **seen})


@pytest.fixture
def look(tmp_path):
    """Return what is wrong with these containers of a release whose service is this."""

    def ask(service, *there, before=()):
        (tmp_path / "model.json").write_text(json.dumps({"services": {"job": service}}))
        target = Release("id", "revision", "shop", tmp_path, {"job": ("x", "sha256:1")})
        app = SimpleNamespace(health=SimpleNamespace(urls=()))
        facts = SimpleNamespace(
            containers=there, before=before, going_back=False, app=app, fact=lambda *_: []
        )
        return health.look(facts, target, health.Watch())

    return ask


ON_FAILURE = {"restart": "on-failure:5"}


def test_one_shot_that_ended_well_is_done_however_many_tries_it_took(look):
    done = container(status="exited", restarts=4)

    assert look(ON_FAILURE, done) is None
    assert look({}, container(status="exited", policy={"Name": "no"})) is None


def test_service_that_is_always_started_again_may_not_end(look):
    ended = container(status="exited", policy={"Name": "always"})

    assert look({"restart": "always"}, ended) == "container shop-job-1 is exited"


def test_server_that_ran_before_is_not_done_when_it_ends(look):
    ended = container(status="exited")

    with pytest.raises(HealthError, match="exited with 0"):
        look(ON_FAILURE, ended, before=[container()])


def test_one_shot_may_use_the_tries_it_was_given_and_a_server_may_not(look):
    trying = container(status="restarting", exit_code=1, restarts=3)

    assert look(ON_FAILURE, trying) == "container shop-job-1 is restarting"
    with pytest.raises(HealthError, match="keeps crashing: 3 restarts"):
        look(ON_FAILURE, trying, before=[container()])
    endless = container(status="restarting", restarts=3, policy={"Name": "on-failure"})
    with pytest.raises(HealthError, match="keeps crashing"):
        look({"restart": "on-failure"}, endless)


def test_one_shot_whose_tries_are_used_up_failed(look):
    with pytest.raises(HealthError, match="exited with 3"):
        look(ON_FAILURE, container(status="exited", exit_code=3, restarts=1))


@pytest.mark.parametrize("service", [{"scale": 0}, {"deploy": {"replicas": 0}}])
def test_service_that_shall_have_no_container_needs_none(look, service):
    assert look(service) is None


def test_each_replica_must_be_there_and_run(look):
    two = {"deploy": {"replicas": 2}}

    assert look(two, container()) == "service job has 1 of 2 containers"
    assert look({}) == "service job has 0 of 1 containers"
    stopped = container(number=2, status="created")
    assert look(two, container(), stopped) == "container shop-job-2 is created"
    assert look(two, container(), container(number=2)) is None
