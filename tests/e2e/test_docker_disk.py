"""Docker's own disk fills up in a step: a dockerd of the test's own, on a small disk.

The disk is full from the step's intent on until the deployment has ended.
`SHEETANCHOR_EXHAUSTIVE=1` does all cells of the row; otherwise the first.
"""

import os
import subprocess
from contextlib import contextmanager

import pytest

from tests.e2e.cells import BACK, FORWARD, cells, named
from tests.e2e.kinds import Bad, Kind, differences
from tests.e2e.machine import OnAMachine
from tests.e2e.world import until
from tests.test_reserve import fill

SIZE = 1200 << 20  # bytes: the base image twice, while it is loaded, and what preflight wants
SPARE = 4 << 20  # bytes that the first filler leaves to the second
ROW = [("deploy", step) for step in FORWARD] + [("way_back", step) for step in BACK]
CI = [("deploy", "switch")]
CHOSEN = cells("Docker's disk full", CI, ROW)
UNDECIDED = ("preflight", "build")
OLD = ("fence", "switch")


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    home = tmp_path_factory.mktemp("small")
    disk, image = home / "machine" / "docker", home / "disk"
    disk.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(SIZE)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    made = None
    try:
        made = OnAMachine(home)
        made.begin()
        made.disk = disk
        yield made
    finally:
        if made:
            made.world.tell()
            made.close()
        subprocess.run(["umount", "--lazy", disk], check=True)
        image.unlink()


@contextmanager
def full(disk):
    """Leave not a byte free on a disk."""
    there, first = os.statvfs(disk), disk / "filler"
    with first.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, there.f_bavail * there.f_frsize - SPARE))
    fillers = [first, fill(disk)]
    try:
        yield
    finally:
        for one in fillers:
            one.unlink()


@pytest.mark.parametrize(("phase", "step"), CHOSEN, ids=named(CHOSEN))
def test_docker_whose_disk_fills_in_a_step_loses_nothing(arena, phase, step):
    world, kind = arena.world, Bad() if phase == "way_back" else Kind()
    arena.ready()
    before = world.fingerprint()
    point = f"{phase}.{step}.after_intent"
    arena.points.hold(point)
    identity = kind.begin(arena, by_hand=False)
    arena.stand(point)

    with full(arena.disk):
        arena.points.release(point)
        ended = world.wait(identity)

    until(world.version, "it answers")
    after = world.fingerprint()
    if phase == "deploy" and step not in (*UNDECIDED, *OLD):
        assert ended["status"] == "succeeded", ended
        assert list(kind.strange(arena, identity, before, after)) == []
        kind.note(arena, identity, before)
    else:
        assert ended["status"] == ("failed" if step in UNDECIDED else "rolled_back"), ended
        assert list(differences(before, after)) == []
        assert list(kind.undecided(arena, ended["status"])) == []
    arena.check()
