"""What a rendered model says of its services, as Compose reads it."""

import pytest

from worker.release import (
    VARIABLES,
    given_files,
    put_inside,
    replicas,
    sharing,
    with_other_contents,
)
from worker.steps.build import foreign


@pytest.mark.parametrize(
    ("service", "number"),
    [
        ({}, 1),
        ({"deploy": {"resources": {}}}, 1),
        ({"deploy": {"replicas": 0}}, 0),
        ({"deploy": {"replicas": 3}}, 3),
        ({"scale": 0}, 0),
        ({"scale": 2, "deploy": {"replicas": 5}}, 2),
    ],
)
def test_number_of_containers_is_read_as_compose_reads_it(service, number):
    assert replicas(service) == number


def test_image_that_a_service_builds_is_not_foreign_to_another():
    services = {
        "web": {"build": {}},
        "tool": {"build": {}, "image": "acme/tool"},
        "job": {"image": "acme/tool:latest"},
        "copy": {"image": "shop-web"},
        "older": {"image": "acme/tool:1"},
        "cache": {"image": "localhost:5000/redis"},
    }

    assert foreign(services, "shop") == {"older": "acme/tool:1", "cache": "localhost:5000/redis"}


def test_what_shares_another_service_names_its_container_as_up_does():
    services = {
        "web": {"image": "x"},
        "beside": {"network_mode": "service:web", "pid": "service:web"},
        "reader": {"volumes_from": ["web:ro", "container:abc:ro"], "ipc": "host"},
    }

    services = sharing({"services": services}, {"web": "1234"})["services"]

    assert services["web"] == {"image": "x"}
    assert services.keys() >= {"1234", "abc"}, "Compose takes volumes from services only"
    assert services["beside"] == {"network_mode": "container:1234", "pid": "container:1234"}
    assert services["reader"] == {"volumes_from": ["1234", "abc"], "ipc": "host"}


def test_contents_and_files_of_configs_and_secrets_are_told_apart():
    model = {
        "services": {
            "web": {"configs": [{"source": "text"}], "secrets": [{"source": "variable"}]},
            "cache": {"secrets": [{"source": "file"}]},
            "plain": {"image": "x"},
        },
        "configs": {"text": {"content": "hello"}},
        "secrets": {"variable": {"environment": "A"}, "file": {"file": "/srv/token"}},
        VARIABLES: {"A": "value", "B": "other"},
    }

    assert put_inside(model) == {"web": ["hello", "value"]}
    assert given_files(model) == [("cache", "/srv/token")]
    assert with_other_contents(model, model) == set()
    assert with_other_contents(model, {**model, VARIABLES: {"A": "changed"}}) == {"web"}
    assert with_other_contents({}, model) == {"web"}
