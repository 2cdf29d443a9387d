"""Which containers the way back starts, and which one is compared with which."""

import pytest

from worker.adapters.containers import Container
from worker.steps import before

NOTHING = {"health": None, "restarts": 0, "started_at": "", "stop_timeout": 1, "mounts": ()}
NOTHING |= {"image": "", "image_name": "", "config_hash": "", "working_dir": "", "depends_on": ()}
NOTHING |= {"project": "shop", "oneoff": False, "health_budget": 0.0}


def container(service, number=1, status="running", code=0, policy="always", **fields):
    own = {"id": f"{service}-{number}", "name": f"shop-{service}-{number}", "service": service}
    own |= {"number": number, "status": status, "exit_code": code, "policy": {"Name": policy}}
    return Container(**NOTHING | own | fields)


WEB = container("web")


@pytest.mark.parametrize(
    ("one", "service", "rests"),
    [
        (container("a"), {}, False),
        (container("a", status="paused"), {}, False),
        (container("a", status="restarting"), {}, False),
        (container("a", status="created"), {}, True),
        (container("a", status="exited", code=137), {}, True),
        (container("a", status="exited"), {}, True),
        (container("a", status="exited", policy="unless-stopped"), {}, True),
        (container("a", status="exited", policy="no"), {}, False),
        (container("a", status="exited", policy="on-failure"), {}, False),
        (container("a", status="exited", policy="no", code=1), {}, True),
        (container("a", status="exited", policy="no"), {"ports": [{"target": 80}]}, True),
        (container("a", status="exited", policy="no"), {"healthcheck": {"test": ["x"]}}, True),
    ],
)
def test_what_a_person_had_stopped_rests_and_what_ran_or_was_done_does_not(one, service, rests):
    assert before.resting([WEB, one], {"a": service}) == ({one.id} if rests else set())


def test_nothing_is_started_where_nothing_ran():
    done = container("migrate", status="exited", policy="no")
    stopped = container("web", status="exited", code=137)
    assert before.resting([done, stopped], {}) == {done.id, stopped.id}


def test_each_is_compared_with_the_one_in_its_place_whatever_its_number():
    old = [container("web", 3), container("web", 1), container("db", 1)]
    now = [container("web", number, id=f"new-{number}") for number in (3, 1, 2)]
    found = before.twins(old, now)
    assert {one: twin.id for one, twin in found.items()} == {"new-1": "web-1", "new-2": "web-3"}


def test_service_whose_containers_were_removed_by_hand_has_none():
    assert before.scale([WEB, container("web", 2)], ["web", "gone"]) == {"web": 2, "gone": 0}


def test_what_a_good_push_does_not_keep_is_named_and_what_it_keeps_is_not():
    old = [WEB, container("asleep", status="exited", code=137), container("ice", status="paused")]
    old += [container("pair"), container("pair", 2), container("kept", status="exited", code=137)]
    now = [WEB, container("asleep"), container("ice"), container("pair")]
    now += [container("kept", status="exited", code=1)]
    services = {name: {} for name in ("web", "asleep", "ice", "pair", "kept")}
    assert before.given_up(old, now, services) == [
        "Paused before, and running now: ice.",
        "Stopped before, and running now: asleep.",
        "Service pair had 2 containers, and has 1 as its Compose file says.",
    ]
    assert before.given_up([], now, services) == []
    stopped = [container("web", status="exited")]
    assert before.given_up(stopped, now, services) == [
        "Nothing of the app ran before; it runs now."
    ]
