"""Promise 7, seen in the journals: nobody works on an app while another does."""

import itertools
import json
import os
import signal
from pathlib import Path

import pytest

from tests.e2e.patient import patient_world
from tests.e2e.test_kill import process_of
from tests.e2e.world import release, until
from worker.decisions import Decisions

SLOW = "FROM sheetanchor-base:1\nRUN sleep 3; echo {}\nCOPY app.py release.json /app/\n"
START = 'CMD ["python3", "/app/app.py"]\n'


@pytest.fixture
def shops(tmp_path, mongod):
    """Two apps in one configuration, one Redis, one web process and two workers."""
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(patient_world(tmp_path / name, mongod))
    shop, other = made
    try:
        more = other.config.read_text()
        shop.config.write_text(shop.config.read_text() + more[more.index("[apps.") :])
        other.state, other.listen, other.config = shop.state, shop.listen, shop.config
        for each in made:
            each.prepare()
        shop.start_redis()
        shop.start("webhook")
        for _ in range(2):
            shop.start("worker")
        until(lambda: shop.ask("GET", "/readyz")[0] == 200, "ready")
        yield made
    finally:
        for each in made:
            each.close()


def journals(world):
    folder = world.state / "apps" / world.name / "journal"
    return [list(map(json.loads, path.read_text().splitlines())) for path in folder.iterdir()]


def intervals(world):
    """Return from when to when which process wrote which deployment's journal."""
    found = {}
    for record in itertools.chain(*journals(world)):
        key = (record["deployment"], record["pid"], record["start_time"])
        found.setdefault(key, []).append(record["time"])
    return {key: (min(times), max(times)) for key, times in found.items()}


def overlapping(some, others):
    """Return the pairs of different processes that were at work at one moment."""
    pairs = itertools.product(some.items(), others.items())
    return [
        (one, two)
        for (one, (begin, end)), (two, (start, stop)) in pairs
        if one[1:] != two[1:] and begin < stop and start < end
    ]


def head_of(world):
    path = world.state / "apps" / world.name / "decisions.json"
    return Decisions(path).read()["head"]["revision"]


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_workers_a_dead_one_and_command_lines_never_work_on_one_app_at_once(shops):
    shop, other = shops
    first = [each.deliver(each.git("rev-parse", "HEAD"))[1]["deployment"] for each in shops]
    for each, identity in zip(shops, first, strict=True):
        assert each.wait(identity)["status"] == "succeeded"
    assert overlapping(intervals(shop), intervals(other)), "different apps wait for no other"

    building = shop.push({"Dockerfile": SLOW.format(shop.name) + START})
    shop.wait_for_step(building, "build")
    os.kill(parent(process_of(shop, building)), signal.SIGKILL)
    shop.start("worker")
    by_hand = [shop.start("deploy", shop.name) for _ in range(2)]
    pushes = [shop.push({"release.json": release(version)}) for version in ("two", "three")]
    elsewhere = other.push({"release.json": release("two")})

    ended = [shop.wait(one) for one in (building, *pushes)]
    codes = {child.wait(300) for child in by_hand}
    assert overlapping(intervals(shop), intervals(shop)) == []  # first: else all below may fail
    assert codes <= {0, 4}  # 4: busy
    assert other.wait(elsewhere)["status"] == "succeeded"
    until(lambda: all(one[-1]["event"] == "end" for one in journals(shop)), "all have ended")
    assert overlapping(intervals(shop), intervals(shop)) == []
    assert [one["status"] for one in ended][0] == "failed", ended[0]
    assert ended[-1]["status"] in ("succeeded", "skipped"), ended[-1]
    assert (shop.version(), other.version()) == ("three", "two")
    assert head_of(shop) == shop.git("rev-parse", "HEAD")
    assert head_of(other) == other.git("rev-parse", "HEAD")
