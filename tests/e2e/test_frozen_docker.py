"""Docker is frozen, or gone, in a step: every wait has an end, and the app one of two.

A socket of the test's own stands between sheetanchor with its Compose and the real daemon.
`SHEETANCHOR_EXHAUSTIVE=1` does all cells of the row; otherwise a diagonal.
"""

from contextlib import contextmanager

import pytest

from tests.e2e.cells import BACK, FORWARD, SHORT, Bench, DockerProxy, cells, named, only_exhaustive
from tests.e2e.world import World

ROW = [(how, "deploy", step) for how in ("frozen", "closed") for step in FORWARD]
ROW += [(how, "way_back", step) for how in ("frozen", "closed") for step in BACK]
CI = [("frozen", "deploy", "fence")]
CHOSEN = cells("Docker frozen or closed", CI, ROW)
NOT_ASKED = ("backup", "commit")
UNDECIDED = ("preflight", "pull", "build")  # the last two look at images


@pytest.fixture(scope="module")
def bench(tmp_path_factory, mongod):
    home = tmp_path_factory.mktemp("frozen")
    world, proxy = World(home, mongod), DockerProxy(home / "docker.sock")
    try:
        made = Bench(world, DOCKER_HOST=proxy.url)
        made.proxy = proxy
        yield made
    finally:
        world.tell()
        world.close()
        proxy.close()


def fault(bench, how):
    @contextmanager
    def frozen():
        bench.proxy.going.clear()
        try:
            yield
        finally:
            bench.proxy.going.set()

    @contextmanager
    def closed():
        bench.proxy.close()
        try:
            yield
        finally:
            bench.proxy.open()

    return {"frozen": frozen, "closed": closed}[how]


@pytest.mark.parametrize(("how", "phase", "step"), CHOSEN, ids=named(CHOSEN))
def test_docker_that_is_away_in_a_step_is_waited_for_or_decides_nothing(bench, how, phase, step):
    ends = {"not_asked": NOT_ASKED, "undecided": UNDECIDED, "words": "Docker"}
    bench.bears(phase, step, fault(bench, how), **ends)


@only_exhaustive
@pytest.mark.parametrize(("phase", "step"), [("deploy", "fence"), ("way_back", "switch")])
def test_docker_that_stays_away_leaves_the_app_to_a_person(bench, phase, step):
    short = SHORT | {"worker.pipeline.PATIENCE": 6.0}

    ended = bench.at(phase, step, fault(bench, "closed"), lasts=True, limits=short)

    assert ended["status"] == "inconsistent", ended
    world = bench.world
    now = world.fingerprint()
    assert [now[key] for key in ("env", "uploads", "database")] == [
        bench.before[key] for key in ("env", "uploads", "database")
    ]
    world.cli("restore", world.name, "--yes", check=0)
    assert world.version() == bench.was
    bench.is_tidy()
