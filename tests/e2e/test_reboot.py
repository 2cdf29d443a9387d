"""The power is cut in the middle of a deployment, Docker is upgraded, or its disk is full.

After a cut Docker comes back first, the worker last.

The app has `restart: always`, so that Docker starts it whenever nobody took that away.
"""

import os

import pytest

from tests.e2e.cells import BACK, FORWARD, cells, named
from tests.e2e.kinds import Bad, Kind, NoBuild, differences
from tests.e2e.machine import OnAMachine
from tests.e2e.small_disk import full, mounted
from tests.e2e.world import until

EXHAUSTIVE = bool(os.environ.get("SHEETANCHOR_EXHAUSTIVE"))
DISK = 1200 << 20  # bytes: the base image twice, while it is loaded, and what preflight wants
MANY = 600  # uploads: to put them back takes long enough to be cut off in the middle
REWRITE = f"""
for n in range({MANY}):
    (uploads / f"many-{{n}}.txt").write_text("of the new version")
"""


class Rewriting(Bad):
    """A version that ends at once, having written over what users uploaded."""

    def files(self, arena):
        files = arena.files(bad=True)
        return files | {"migration.py": REWRITE + files["migration.py"]}


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    home = tmp_path_factory.mktemp("reboot")
    with mounted(home / "machine" / "docker", DISK) as disk:
        made = OnAMachine(home)
        made.disk = disk
        try:
            made.begin()
            yield made
        finally:
            made.world.tell()
            made.close()


def half_restored(world):
    found = {path.read_text() for path in world.uploads.glob("many-*")}
    return "of the new version" in found and len(found) > 1


def test_power_cut_in_the_middle_of_a_restore_starts_nothing_on_half_of_the_data(arena):
    world = arena.world
    for n in range(MANY):
        (world.uploads / f"many-{n}.txt").write_text(f"of a user: {n}")
    before = world.fingerprint()
    identity = Rewriting().begin(arena, by_hand=False)
    world.wait_for_step(identity, "restore", "way_back")
    until(lambda: half_restored(world), "the restore is in its middle")

    arena.cut_power()

    assert half_restored(world)
    arena.machine.start_docker()
    assert arena.must_rest()
    assert arena.runs() == []
    arena.boot()
    ended = world.wait(identity)
    assert ended["status"] == "rolled_back", ended
    assert world.fingerprint() == before
    arena.check()
    arena.comes_back_after_a_restart_of_docker()


CHOSEN = [(Bad(), "way_back.checkout.after_intent", "dockerd")]


def points():
    """Return every point of a deployment, of its way back and of a failed build's."""
    found = [(kind, point) for kind in (Kind(), Bad(), NoBuild()) for point in kind.points()]
    return [(*cell, victim) for cell in found for victim in ("power", "dockerd")]


def name_of(one):
    return getattr(one, "name", one)


@pytest.mark.parametrize(
    ("kind", "point", "victim"), points() if EXHAUSTIVE else CHOSEN, ids=name_of
)
def test_machine_dies_at_a_point(arena, kind, point, victim, record_property):
    arena.cell(kind, point, victim)
    if victim == "power":
        arena.comes_back_after_a_restart_of_docker()
    record_property("kills", ("points of a machine", 1, len(points())))


ROW = [("deploy", step) for step in FORWARD] + [("way_back", step) for step in BACK]
UPGRADED = cells("Docker upgraded", [("deploy", "switch")], ROW)
FULL = cells("Docker's disk full", [("deploy", "switch")], ROW)
UNASKED = ("backup", "commit")  # Docker is not asked for anything there
UNDECIDED = ("preflight", "backup", "pull", "build")  # a full disk is found by the build at last
OLD = ("fence", "switch")


def stood(arena, phase, step):
    """Have a deployment stand in a step; return its kind and id, and what there was before."""
    arena.ready()
    kind, before = Bad() if phase == "way_back" else Kind(), arena.world.fingerprint()
    arena.points.hold(f"{phase}.{step}.after_intent")
    identity = kind.begin(arena, by_hand=False)
    arena.stand(f"{phase}.{step}.after_intent")
    return kind, identity, before


def is_old_or_new(arena, kind, identity, before, wanted):
    """The deployment ended so, and what runs is one of the two, whole."""
    ended = arena.world.wait(identity)
    assert ended["status"] == wanted, ended
    until(arena.world.version, "it answers")
    after = arena.world.fingerprint()
    if wanted == "succeeded":
        wrong = list(kind.strange(arena, identity, before, after))
        kind.note(arena, identity, before)
    else:
        wrong = list(differences(before, after))
    assert wrong + list(kind.undecided(arena, wanted)) == []
    arena.check()


@pytest.mark.parametrize(("phase", "step"), UPGRADED, ids=named(UPGRADED))
def test_docker_that_is_stopped_for_an_upgrade_in_a_step_is_waited_for(arena, phase, step):
    """By SIGTERM, as its package does: it takes its containers along."""
    kind, identity, before = stood(arena, phase, step)
    last = len(arena.records(identity))

    arena.machine.stop_docker()
    arena.points.release(f"{phase}.{step}.after_intent")
    until(lambda: has_noticed(arena, identity, last), "it has noticed, or did not need it", 240)
    arena.machine.start_docker()

    early = phase == "deploy" and step in ("preflight", "pull", "build")
    wanted = "succeeded" if step in UNASKED else "failed" if early else "rolled_back"
    is_old_or_new(arena, kind, identity, before, wanted)


def has_noticed(arena, identity, last):
    """Return whether a step has ended since, well or not."""
    return any(one["event"] != "intent" for one in arena.records(identity)[last:])


@pytest.mark.parametrize(("phase", "step"), FULL, ids=named(FULL))
def test_docker_whose_disk_fills_in_a_step_loses_nothing(arena, phase, step):
    """It is full until the deployment has ended."""
    kind, identity, before = stood(arena, phase, step)

    with full(arena.disk):
        arena.points.release(f"{phase}.{step}.after_intent")
        arena.world.wait(identity)

    good = phase == "deploy" and step not in (*UNDECIDED, *OLD)
    wanted = "succeeded" if good else "failed" if step in UNDECIDED else "rolled_back"
    is_old_or_new(arena, kind, identity, before, wanted)
