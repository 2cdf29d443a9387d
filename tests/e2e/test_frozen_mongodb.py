"""MongoDB is frozen, or gone, in a step: every wait has an end, and no document is lost.

`SHEETANCHOR_EXHAUSTIVE=1` does all cells of the row; otherwise a diagonal.
"""

import os
import signal
from contextlib import contextmanager

import pytest

from tests.e2e.cells import BACK, FORWARD, SHORT, Bench, cells, named, only_exhaustive
from tests.e2e.conftest import Mongod
from tests.e2e.world import World

ROW = [(how, "deploy", step) for how in ("frozen", "down") for step in FORWARD]
ROW += [(how, "way_back", step) for how in ("frozen", "down") for step in BACK]
CI = [
    ("frozen", "deploy", "fence"),
    ("down", "way_back", "safety"),
]
CHOSEN = cells("mongod frozen or down", CI, ROW)
UNDECIDED = ("preflight", "backup")
DATA = ("env", "uploads", "database")
NOT_ASKED = ("pull", "build", "commit")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    server = Mongod(tmp_path_factory.mktemp("own"))
    world = World(tmp_path_factory.mktemp("frozen"), server)
    try:
        yield Bench(world)
    finally:
        world.tell()
        world.close()
        server.close()


@contextmanager
def frozen(mongod):
    os.kill(mongod.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(mongod.process.pid, signal.SIGCONT)


@contextmanager
def down(mongod):
    mongod.process.kill()
    mongod.process.wait()
    try:
        yield
    finally:
        mongod.start()
        mongod.client.admin.command("ping")


def fault(bench, how):
    return lambda: {"frozen": frozen, "down": down}[how](bench.world.mongod)


@pytest.mark.parametrize(("how", "phase", "step"), CHOSEN, ids=named(CHOSEN))
def test_mongodb_that_is_away_in_a_step_is_waited_for_or_decides_nothing(bench, how, phase, step):
    ends = {"not_asked": NOT_ASKED, "undecided": UNDECIDED, "words": "MongoDB could not"}
    bench.bears(phase, step, fault(bench, how), **ends)


@only_exhaustive
def test_mongodb_that_stays_away_leaves_the_data_to_a_person(bench):
    """Half an hour of nothing would be worse: all is kept, and the command is named."""
    short = SHORT | {"worker.pipeline.PATIENCE": 6.0}

    ended = bench.at("way_back", "restore", fault(bench, "frozen"), lasts=True, limits=short)

    world, backup = bench.world, ended["backup"]
    assert ended["status"] == "inconsistent", ended
    command = f"sheetanchor restore {world.name} {backup}"
    assert command in ended["error"]["remedy"], ended
    assert world.containers()["web-1"][0] == "stopped"
    world.cli(*command.split()[1:], "--yes", check=0)
    assert world.version() == bench.was
    now = world.fingerprint()
    assert [now[key] for key in DATA] == [bench.before[key] for key in DATA]
    bench.is_tidy()
