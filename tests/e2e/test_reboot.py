"""The power is cut in the middle of a deployment, or Docker is upgraded.

After a cut Docker comes back first, the worker last.

The app has `restart: always`, so that Docker starts it whenever nobody took that away.
"""

import os

import pytest

from tests.e2e.cells import BACK, FORWARD
from tests.e2e.kinds import Bad, Kind, NoBuild, differences
from tests.e2e.machine import OnAMachine
from tests.e2e.world import until

EXHAUSTIVE = bool(os.environ.get("SHEETANCHOR_EXHAUSTIVE"))
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
    made = OnAMachine(tmp_path_factory.mktemp("reboot"))
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


def cells():
    """Return every point of a deployment, of its way back and of a failed build's."""
    found = [(kind, point) for kind in (Kind(), Bad(), NoBuild()) for point in kind.points()]
    return [(*cell, victim) for cell in found for victim in ("power", "dockerd")]


def named(one):
    return getattr(one, "name", one)


@pytest.mark.parametrize(("kind", "point", "victim"), cells() if EXHAUSTIVE else CHOSEN, ids=named)
def test_machine_dies_at_a_point(arena, kind, point, victim, record_property):
    arena.cell(kind, point, victim)
    if victim == "power":
        arena.comes_back_after_a_restart_of_docker()
    record_property("kills", ("points of a machine", 1, len(cells())))


ROW = [("deploy", step) for step in FORWARD] + [("way_back", step) for step in BACK]
UPGRADED = ROW if EXHAUSTIVE else [("deploy", "switch")]
# Where Docker is not asked for anything, or not once it is known to answer.
UNASKED = ("backup", "commit")


@pytest.mark.parametrize(("phase", "step"), UPGRADED, ids=["-".join(one) for one in UPGRADED])
def test_docker_that_is_stopped_for_an_upgrade_in_a_step_is_waited_for(arena, phase, step):
    """By SIGTERM, as its package does: it takes its containers along."""
    world, kind, point = arena.world, Bad() if phase == "way_back" else Kind(), f"{phase}.{step}"
    arena.ready()
    before = world.fingerprint()
    arena.points.hold(f"{point}.after_intent")
    identity = kind.begin(arena, by_hand=False)
    arena.stand(f"{point}.after_intent")
    last = len(arena.records(identity))

    arena.machine.stop_docker()
    arena.points.release(f"{point}.after_intent")
    until(lambda: has_noticed(arena, identity, last), "it has noticed, or did not need it", 240)
    arena.machine.start_docker()

    status = world.wait(identity)["status"]
    assert status in ("succeeded",) if step in UNASKED else ("failed", "rolled_back")
    until(world.version, "Docker has started what it stopped")
    after = world.fingerprint()
    if status == "succeeded":
        wrong = list(kind.strange(arena, identity, before, after))
        kind.note(arena, identity, before)
    else:
        wrong = list(differences(before, after))
    assert wrong + list(kind.undecided(arena, status)) == []
    arena.check()


def has_noticed(arena, identity, last):
    """Return whether a step has ended since, well or not."""
    return any(one["event"] != "intent" for one in arena.records(identity)[last:])
