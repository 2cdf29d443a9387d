"""A worker comes back late, or to a Docker that never comes back.

After an hour, a day, a week (promise 6): what people wrote through a version that served
them for so long is never replaced by itself. Once a way back had stopped that version,
nobody could write, and it is finished.
"""

import json
import os
from datetime import timedelta

import pytest

from tests.e2e.alone import NOWHERE, WRITTEN, Alone
from tests.e2e.world import until

EXHAUSTIVE = bool(os.environ.get("SHEETANCHOR_EXHAUSTIVE"))
LATE = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
SERVES = ("deploy.switch.after_effect", "deploy.health.after_effect", "deploy.commit.after_intent")
ILL = ("deploy.switch.after_effect", "way_back.halt.before_intent", "way_back.halt.after_intent")
HALTED = (
    "way_back.halt.after_record",
    "way_back.restore.after_intent",
    "way_back.switch.after_effect",
)
NO_DOCKER = {
    "deploy.build.after_effect": "failed",
    "deploy.fence.after_effect": "inconsistent",
    "deploy.switch.after_effect": "inconsistent",
    "deploy.health.after_effect": "inconsistent",
    "deploy.commit.after_record": "succeeded",
    "way_back.halt.after_record": "inconsistent",
    "way_back.restore.after_effect": "inconsistent",
    "way_back.checkout.after_effect": "inconsistent",
    "way_back.switch.after_effect": "inconsistent",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, mongod):
    made = Alone(tmp_path_factory.mktemp("late"), mongod)
    try:
        made.begin()
        yield made
    finally:
        made.tell()
        made.close()


@pytest.fixture
def world(shared):
    shared.mend()
    return shared


def seconds(late):
    return LATE[late].total_seconds()


def chosen(every, *some):
    return every if EXHAUSTIVE else some


def cells(points):
    return [(point, late) for point in points for late in LATE]


TOTAL = len(cells(SERVES)) + len(cells(ILL)) + len(cells(HALTED)) + len(NO_DOCKER)


@pytest.fixture(autouse=True)
def counted(record_property):
    record_property("kills", ("late recoveries", 1, TOTAL))


@pytest.mark.parametrize(("point", "late"), chosen(cells(SERVES), (SERVES[0], "week")))
def test_version_that_served_and_is_well_stays_with_all_that_was_written(world, point, late):
    version = world.killed_at(point, served=True)

    ended = world.recovered(late=seconds(late))

    assert ended["status"] == "succeeded", ended
    assert world.version() == version
    assert world.written() == 1
    assert world.cli_json("status", world.name)["running"]["release"] == ended["id"]


@pytest.mark.parametrize(("point", "late"), chosen(cells(ILL), (ILL[2], "hour")))
def test_version_that_served_and_is_ill_is_left_as_it_is_for_a_person(world, point, late):
    version = world.killed_at(point, served=True, mode="never_healthy")
    before = world.fingerprint()

    ended = world.recovered(late=seconds(late))

    assert ended["status"] == "inconsistent", ended
    assert world.version() == version
    assert world.fingerprint() == before
    assert world.written() == 1
    assert world.decisions.read()["hold"]["kind"] == "inconsistent"


@pytest.mark.parametrize(("point", "late"), chosen(cells(HALTED), (HALTED[1], "day")))
def test_way_back_that_had_stopped_the_new_version_is_finished_however_late(world, point, late):
    before = world.fingerprint()
    world.killed_at(point, served=True, mode="never_healthy")

    ended = world.recovered(late=seconds(late))

    assert ended["status"] == "rolled_back", ended
    assert world.fingerprint() == before
    assert world.written() == 0
    assert ended["safety_backup"]


def started_by_hand(world):
    """Have a person find the app down, start it, and write."""
    world.compose("start")
    document = b'{"name": "%s", "n": -1}' % WRITTEN.encode()  # n is unique
    until(lambda: world.post("/documents", document), "it is up")


def documents_in(world, backup):
    path = world.checkout / "backups" / backup / "manifest.json"
    return json.loads(path.read_text())["databases"][world.name]["documents"]["documents"]


@pytest.mark.parametrize("late", [0.0, seconds("day")], ids=["soon", "day"])
def test_app_that_a_person_started_before_its_data_was_back_loses_nothing(world, late):
    before, count = world.fingerprint(), world.db.documents.count_documents({})
    world.killed_at("way_back.restore.after_intent", served=True, mode="never_healthy")
    started_by_hand(world)

    ended = world.recovered(late=late)

    if late:
        assert (ended["status"], world.written()) == ("inconsistent", 2), ended
        assert "has served since" in ended["error"]["message"]
        return
    assert ended["status"] == "rolled_back", ended
    assert world.fingerprint() == before
    assert documents_in(world, ended["safety_backup"]) == count + 2
    assert "was started while the app's data was put back" in ended["warnings"][-1]


@pytest.mark.parametrize(
    ("point", "status"),
    chosen([*NO_DOCKER.items()], *[(point, NO_DOCKER[point]) for point in list(NO_DOCKER)[:3:2]]),
)
def test_docker_that_is_gone_for_good_is_told_and_what_is_told_mends_it(world, point, status):
    before = world.fingerprint()
    ill = {"mode": "never_healthy"} if point.startswith("way_back") else {}
    world.killed_at(point, **ill)
    meanwhile = world.fingerprint()

    ended = world.recovered(patience=3, docker=NOWHERE)

    assert ended["status"] == status, ended
    after = world.fingerprint()
    assert after == meanwhile or status != "inconsistent"
    if status == "failed":
        assert after == before
        assert "images' names" in ended["warnings"][-1]
    if status != "inconsistent":
        return
    lost = world.decisions.read()["hold"].get("restore")
    argv = ["restore", world.name, lost, "--yes"] if lost else ["resume", world.name]
    assert f"`sheetanchor {' '.join(argv[:3])}".removesuffix(" --yes") in ended["error"]["remedy"]
    world.cli(*argv, check=0)
    assert world.fingerprint() == before
    assert world.cli_json("status", world.name)["hold"] is None
