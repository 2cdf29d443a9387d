"""Containers as people leave them: the way back gives exactly that back, a good push runs all.

One project whose services are each in another state, started by hand before
sheetanchor came. A bad push changes every service of it, so that every
container is made anew, and new again on the way back.
"""

import contextlib
import json

import docker
import pytest

from tests.e2e.world import HERE, World, release, until

WEB = (HERE / "app" / "docker-compose.yml").read_text()
SLEEPS = {"command": ["sleep", "86400"], "stop_signal": "SIGKILL"}
ENDS_WELL = {"command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]}
STATES = {
    "plain": SLEEPS,  # no restart policy
    "patient": {**SLEEPS, "restart": "always"},  # made `on-failure:5` by hand
    "quieted": {**SLEEPS, "restart": "always"},  # made `no` by hand
    "paused": {**SLEEPS, "restart": "always"},
    "stopped": {**SLEEPS, "restart": "always"},
    "resting": {**ENDS_WELL, "restart": "unless-stopped"},  # stopped, and it exited with 0
    "idle": {**ENDS_WELL, "ports": ["8000"]},  # the same, and nothing restarts it
    "gone": SLEEPS,  # removed by hand
    "pair": SLEEPS,  # two of it
    "trio": SLEEPS,  # three of it, the second one stopped
    "once": {"command": ["true"]},
    "ill": {**SLEEPS, "healthcheck": {"test": ["CMD", "false"], "interval": "1s", "retries": 1}},
    "looping": {"command": ["false"], "restart": "always"},
    "removed": SLEEPS,  # by the push
}
MENDED = {"ill": SLEEPS, "looping": {**SLEEPS, "restart": "always"}, "added": SLEEPS}


def files(version, services, **fields):
    """Return a revision with these services beside `web`, each of its own settings."""
    own = {"image": "sheetanchor-base:1", "environment": {"VERSION": version}}
    lines = [f"  {name}: {json.dumps({**own, **one})}\n" for name, one in services.items()]
    return {
        "docker-compose.yml": WEB + "".join(lines),
        "release.json": release(version, **fields),
    }


def without_removed(services):
    return {name: one for name, one in services.items() if name != "removed"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, mongod):
    """The project, started by hand and left in its states; then sheetanchor came."""
    made = World(tmp_path_factory.mktemp("world"), mongod, health={"timeout": 30})
    made.commit(files("one", STATES))
    made.prepare()
    made.compose("up", "-d", "--build", "--scale", "pair=2", "--scale", "trio=3")
    until(lambda: made.version() == "one", "the app answers")
    made.fill()
    leave(made)
    made.up()
    yield made
    made.close()


@pytest.fixture
def world(shared):
    return shared


@pytest.fixture(scope="module")
def mended(shared):
    """A good push's deployment, after which all runs that its file says."""
    return shared.wait(shared.push(files("two", without_removed(STATES) | MENDED)))


def leave(world):
    """Do what people did to the containers."""
    world.compose("pause", "paused")
    world.compose("stop", "stopped", "resting", "idle")
    with by_hand(world) as find:
        find("trio-2").stop()
        find("gone-1").remove(force=True)
        policy = {"Name": "on-failure", "MaximumRetryCount": 5}
        find("patient-1").update(restart_policy=policy)
        find("quieted-1").update(restart_policy={"Name": "no"})


@contextlib.contextmanager
def by_hand(world):
    """Have a function that finds a container, to do with it what a person does."""
    client = docker.from_env()
    try:
        yield lambda name: client.containers.get(f"{world.name}-{name}")
    finally:
        client.close()


def look(world):
    """Return the fingerprint, each container for itself; a crash loop runs at times."""
    found = world.fingerprint()
    there = found.pop("containers")
    state, *others = there.get("looping-1", ("none",))
    if state == "running":
        there["looping-1"] = ("restarting", *others)
    return found | there


def differing(before, now):
    """Return what is not as it was."""
    keys = before.keys() | now.keys()
    return {key: (before.get(key), now.get(key)) for key in keys if before.get(key) != now.get(key)}


def states(world):
    return {name: state for name, (state, *_) in world.containers().items()}


def goes_back(world, version):
    """Push a version that changes all and exits: all must be as it was."""
    before = look(world)
    bad = files(version, without_removed(STATES) | {"added": SLEEPS}, mode="exits")
    ended = world.wait(world.push(bad))
    assert ended["status"] == "rolled_back", ended
    assert differing(before, look(world)) == {}


def test_bad_push_gives_back_each_container_as_a_person_left_it(world):
    there = states(world)
    assert {name for name, state in there.items() if state == "paused"} == {"paused-1"}
    stopped = {"stopped-1", "resting-1", "idle-1", "trio-2", "once-1"}
    assert {name for name, state in there.items() if state == "stopped"} == stopped
    goes_back(world, "bad")


def test_good_push_runs_all_that_its_file_says_and_names_what_is_given_up(world, mended):
    assert mended["status"] == "succeeded", mended["error"]
    once = {"once-1": "stopped"}
    services = {*without_removed(STATES), *MENDED, "web"}
    assert states(world) == {f"{name}-1": "running" for name in services} | once
    assert mended["warnings"] == [
        "Paused before, and running now: paused.",
        "Stopped before, and running now: idle, resting, stopped.",
        "Service pair had 2 containers, and has 1 as its Compose file says.",
        "Service trio had 3 containers, and has 1 as its Compose file says.",
    ]


@pytest.mark.parametrize("state", ["stop", "pause"])
def test_bad_push_leaves_a_project_that_did_not_run_as_it_was(world, mended, state):
    assert mended["status"] == "succeeded", mended["error"]
    until(lambda: states(world)["once-1"] == "stopped", "what runs once has ended")
    world.compose(state)  # `pause` fails over what ends meanwhile
    goes_back(world, f"bad after {state}")
    world.compose({"stop": "start", "pause": "unpause"}[state])
