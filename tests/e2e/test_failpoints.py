"""Killed at every point: afterwards the old or the new release runs whole, never between.

In CI: each step of a deployment and of its ways back, just after its intent and just after its
effect, the job process; and a few of each other kind and victim. SHEETANCHOR_EXHAUSTIVE=1 for
all cells, SHEETANCHOR_EXHAUSTIVE=N for each Nth of those that CI leaves out.
"""

import os

import pytest

from tests.e2e import kinds
from worker.ending import DEATHS
from worker.stepping import STEPS

EXHAUSTIVE = int(os.environ.get("SHEETANCHOR_EXHAUSTIVE") or 0)
VICTIMS = ("job", "worker", "redis", "hand")  # who dies; by hand it is the command line
ALWAYS = ("after_intent", "after_effect")
WITHOUT_DATA, WITH_DATA = ("fence", "switch"), ("fence", "switch", "up")
KINDS = (
    kinds.Kind(),
    kinds.Bad(),
    kinds.NoBuild(),
    kinds.Died("deploy killed in its fence", "deploy.fence.after_effect", "fence"),
    kinds.Died("deploy killed before up", "deploy.switch.after_intent", *WITHOUT_DATA),
    kinds.Died("deploy killed after up", "deploy.switch.after_effect", *WITH_DATA),
    kinds.Restore(),
    kinds.RestoreByApi(),
    kinds.DiedRestore("killed restore", "deploy.restore.after_effect", "halt", "restore"),
    kinds.Rollback(),
    kinds.DiedRollback("killed rollback", "deploy.switch.after_effect", *WITH_DATA),
    kinds.RollbackWithData(),
    kinds.DiedRollbackWithData(
        "killed rollback with data", "deploy.restore.after_effect", "fence", "restore"
    ),
)
ALL = [
    (kind, point, victim)
    for kind in KINDS
    for point in kind.points()
    for victim in kind.victims(VICTIMS)
]


def in_ci(kind, point, victim):
    """Every step of a good and of a bad deployment, and a diagonal through the others."""
    step, moment = point.split(".")[1:]
    usual = victim == "job" and kind.name in ("deploy", "bad deploy", "failed build")
    if usual and moment in ALWAYS and step != "end":
        return True
    return (kind.name, point, victim) in DIAGONAL


AT_MOST = 60.0  # seconds
DIAGONAL = {
    ("deploy", "deploy.switch.after_effect", "hand"),
    ("deploy", "deploy.commit.after_record", "redis"),
    ("deploy", "after.end.after_record", "job"),
    ("bad deploy", "way_back.restore.after_intent", "worker"),
    ("deploy killed after up", "way_back.safety.after_effect", "job"),
    ("restore", "deploy.restore.after_effect", "hand"),
    ("restore", "deploy.switch.after_effect", "hand"),
    ("restore by the API", "deploy.restore.after_effect", "job"),
    ("killed restore", "way_back.restore.after_intent", "worker"),
    ("rollback", "deploy.switch.after_intent", "job"),
    ("rollback with data", "deploy.restore.after_intent", "hand"),
}
HERE = [cell for cell in ALL if in_ci(*cell)]
REST = [cell for cell in ALL if not in_ci(*cell)]
CELLS = HERE + (REST[::EXHAUSTIVE] if EXHAUSTIVE else [])


@pytest.mark.parametrize(
    ("kind", "point", "victim"), CELLS, ids=lambda one: getattr(one, "name", one)
)
def test_killed_at_a_point(arena, kind, point, victim, record_property):
    record_property("kills", ("points", 1, len(ALL)))
    arena.cell(kind, point, victim)


def test_whoever_repairs_begins_soon(arena):
    """Promise 10 says 5 s from there being a worker; this machine may be busy."""
    took = sorted(arena.took)
    print(f"{len(took)} repairs began after {took[len(took) // 2]:.1f} s, at most {took[-1]:.1f} s")
    assert took[-1] < AT_MOST


def test_every_step_has_its_cells():
    assert {(kind.name, point, victim) for kind, point, victim in ALL} >= DIAGONAL
    there = {tuple(point.split(".")[:2]) for _, point, _ in HERE}
    assert {step for _, step in there} >= STEPS.keys()


def test_a_way_back_that_kills_whoever_tries_it_calls_a_person(arena):
    """It would be tried every 5 seconds, for ever. The last test here: it leaves the app down."""
    arena.ready()
    arena.points.hold("way_back.safety.after_intent")
    identity = kinds.Bad().begin(arena, by_hand=False)
    standing = arena.stand("way_back.safety.after_intent")
    arena.died_before(identity, times=DEATHS - 1)

    arena.kill("job", standing)

    ended = arena.world.wait(identity)
    assert ended["status"] == "inconsistent", ended
    assert f"{DEATHS} processes died in the step safety" in ended["error"]["message"]
    hold = arena.world.decisions.read()["hold"]
    assert (hold["kind"], hold["restore"]) == ("inconsistent", ended["backup"])
    assert "restore" in ended["error"]["remedy"]
    assert arena.world.policy() == "no"
