"""A disk fills up in a step: nothing is lost, and an end is written.

The state, the backups and the checkout are on small disks of their own. The disk is full
from the step's intent on until the deployment has ended.
`SHEETANCHOR_EXHAUSTIVE=1` does all cells of the rows; otherwise a diagonal.
"""

import os
import subprocess
from contextlib import contextmanager

import pytest

from tests.e2e.cells import BACK, BAD, FORWARD, Bench, cells, named
from tests.e2e.test_put_off import fill
from tests.e2e.world import FINAL, World, until
from worker.reserve import SIZE

SIZES = {"state": "32m", "backups": "230m", "checkout": "32m"}
ROW = [(disk, "deploy", step) for disk in SIZES for step in FORWARD]
ROW += [(disk, "way_back", step) for disk in SIZES for step in BACK]
CI = [("checkout", "deploy", "switch"), ("state", "way_back", "restore")]
CHOSEN = cells("disk full", CI, ROW)
# The steps in which a disk that is full decides nothing, and those that give up for it.
UNDECIDED = {
    "state": ("preflight", "backup", "pull", "build"),
    "backups": ("preflight", "backup"),
    "checkout": ("preflight", "backup", "pull", "build"),
}
OLD = {"state": ("fence", "switch", "health"), "backups": ("fence",)}
OLD["checkout"] = OLD["state"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory, mongod):
    home = tmp_path_factory.mktemp("full")
    disks = {name: home / f"disk-{name}" for name in SIZES}
    world = World(home, mongod, backup={"dir": str(disks["backups"] / "backups")})
    disks |= {"state": world.state, "checkout": world.checkout}
    for name, folder in disks.items():
        folder.mkdir()
        options = f"size={SIZES[name]}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        made = Bench(world)
        made.disks = disks
        yield made
    finally:
        world.tell()
        world.close()
        for folder in disks.values():
            subprocess.run(["umount", "--lazy", folder], check=True)


def full(folder):
    """Return a maker of the fault: not a byte is free beside this folder's files."""

    @contextmanager
    def filled():
        filler = folder / (".git/filler" if (folder / ".git").is_dir() else "filler")
        fill(filler)
        try:
            yield
        finally:
            filler.unlink()

    return filled


@pytest.mark.parametrize(("disk", "phase", "step"), CHOSEN, ids=named(CHOSEN))
def test_disk_that_fills_in_a_step_loses_nothing(bench, disk, phase, step):
    ended = bench.at(phase, step, full(bench.disks[disk]), lasts=True)

    if phase == "way_back" and (disk, step) == ("backups", "safety"):
        needs_a_person(bench, ended)
    elif phase == "way_back":
        bench.is_old(ended, decided=True)
    elif step in UNDECIDED[disk]:
        bench.is_undecided(ended, "Free some space")
    elif step in OLD[disk]:
        bench.is_old(ended, "Free some space")
    else:
        bench.is_new(ended)
    if phase == "way_back":
        return
    bench.world.cli("deploy", bench.world.name, check=0)
    reserves = (bench.world.checkout / ".git").glob("sheetanchor-reserve")
    reserves = [*reserves, bench.journals().with_name("reserve")]
    assert [one.stat().st_size for one in reserves] == [SIZE, SIZE]


def needs_a_person(bench, ended):
    """What the new version wrote could not be set aside: it is not overwritten."""
    world = bench.world
    assert ended["status"] == "inconsistent", ended
    assert world.db.documents.count_documents({"text": "rewritten"}) == 200
    assert world.cli_json("status", world.name)["hold"]["kind"] == "inconsistent"
    world.cli("restore", world.name, ended["backup"], "--yes", check=0)
    assert world.fingerprint()["database"] == bench.before["database"]


def test_used_up_reserve_is_told_once_and_the_way_back_goes_on_once_there_is_room(bench):
    world, state, point = bench.world, bench.disks["state"], "way_back.restore.after_intent"
    bench.points.hold(point)
    child = bench.start(BAD)
    bench.points.wait(point)
    os.truncate(bench.journals().with_name("reserve"), 0)

    with full(state)():
        bench.points.release(point)
        until(lambda: child.poll() is not None, "it gives up", 120)
        said = (world.home / f"deploy-{world.processes.index(child)}.log").read_text()
        assert "was left in the middle" in said
        told = world.cli("status", world.name, check=0).stderr
        refused = world.cli("deploy", world.name)
        worker = world.start("worker")
        log = world.home / f"worker-{world.processes.index(worker)}.log"
        until(lambda: "disk.full" in log.read_text(), "the worker tells of it", 120)
        assert bench.newest()["status"] == "rolling_back"
    until(lambda: bench.newest()["status"] in FINAL, "the worker goes on by itself", 180)

    assert refused.returncode not in (0, 2)
    for text in (said, told, refused.stderr):
        assert f"The disk of {world.state}" in text
        assert "Free some space there; all goes on by itself then." in text
        assert "Traceback" not in text
    assert log.read_text().count("disk.full") == 1
    bench.is_old(bench.newest(), decided=True)
    world.stop(worker)
