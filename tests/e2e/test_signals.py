"""Asked to stop in the middle of a step, once and again: what runs is brought to its own end."""

import os
import signal
import time

import pytest

from tests.e2e.kinds import Bad, Kind, NoBuild, differences
from tests.e2e.points import END, waited

EXHAUSTIVE = bool(os.environ.get("SHEETANCHOR_EXHAUSTIVE"))
OWN_END = {"deploy": "succeeded", "bad deploy": "rolled_back", "failed build": "failed"}


def cells():
    kinds = (Kind(), Bad(), NoBuild())
    every = [(kind, point) for kind in kinds for point in kind.points() if point not in END]
    inside = [(kind, point) for kind, point in every if point.endswith("after_intent")]
    return [(*cell, who) for cell in inside for who in ("worker", "hand")]


def named(one):
    return getattr(one, "name", one)


CHOSEN = [(Kind(), "deploy.switch.after_intent", "hand")]  # a worker's: tests.e2e.test_units


@pytest.mark.parametrize(("kind", "point", "who"), cells() if EXHAUSTIVE else CHOSEN, ids=named)
def test_who_is_terminated_twice_brings_its_deployment_to_its_own_end(
    arena, kind, point, who, record_property
):
    world, by_hand = arena.world, who == "hand"
    arena.ready()
    before = world.fingerprint()
    arena.points.hold(point)
    identity = kind.begin(arena, by_hand=by_hand)
    arena.points.wait(point)
    process = arena.hand if by_hand else arena.worker

    process.send_signal(signal.SIGTERM)
    time.sleep(1.2)  # RQ takes what comes within a second for one signal (measured)
    process.send_signal(signal.SIGTERM)
    if by_hand:
        process.send_signal(signal.SIGHUP)
    arena.points.release(point)

    status = world.wait(identity)["status"]
    assert status == OWN_END[kind.name]
    code = waited(process, 120)
    assert code == (1 if by_hand and status != "succeeded" else 0)
    after = world.fingerprint()
    if status == "succeeded":
        assert list(kind.strange(arena, identity, before, after)) == []
        kind.note(arena, identity, before)
    else:
        assert list(differences(before, after)) == []
    arena.check()
    record_property("kills", ("stops", 1, len(cells())))
