"""What a deploy costs, on real parts: `python -m tests.bench.deploy [ROUNDS]`, in the top folder.

Prints one JSON object: push to first step, the outage of a good deploy beside a bare
`docker compose up -d` of the same images in the same run (for both kinds of
consistency), what a deploy costs beyond build, up and `stable_for`, and the memory
of the idle processes.
"""

import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.e2e.conftest import Mongod
from tests.e2e.world import World, release
from worker.clock import parse

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5


class Outage:
    """Asks the app every 5 ms for as long as the block runs; how long was it away?"""

    def __init__(self, world):
        self.world, self.running, self.gaps = world, True, []
        self.thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.running = False
        self.thread.join()

    def _ask(self):
        away = None
        while self.running:
            if self.world.version() is None:
                away = away or time.monotonic()
            elif away:
                self.gaps.append(time.monotonic() - away)
                away = None
            time.sleep(0.005)

    @property
    def seconds(self):
        return sum(self.gaps)


def bare(world, version):
    """Return the outage and the seconds of build and up by hand."""
    world.git("fetch", "--quiet", "origin", cwd=world.checkout)
    (world.checkout / "release.json").write_text(release(version))
    began = time.monotonic()
    world.compose("build")
    built = time.monotonic()
    with Outage(world) as outage:
        world.compose("up", "-d")
        up = time.monotonic()
        wait_for(world, version)
    return outage.seconds, up - began, built - began


def deploy(world, version):
    """Return the outage, the whole time and the time to the first step of a push."""
    with Outage(world) as outage:
        ended = world.wait(world.push({"release.json": release(version)}))
        wait_for(world, version)
    assert ended["status"] == "succeeded", ended
    first = parse(ended["started_at"]) - parse(ended["queued_at"])
    return outage.seconds, ended["seconds"], first.total_seconds()


def wait_for(world, version):
    while world.version() != version:
        time.sleep(0.005)


def measure(mongod, consistency):
    """Return medians of interleaved rounds of bare Compose and a deploy."""
    with tempfile.TemporaryDirectory() as home:
        world = World(Path(home), mongod, backup={"consistency": consistency})
        try:
            world.begin()
            hand, ours = [], []
            for n in range(ROUNDS):
                ours.append(deploy(world, f"push-{n}"))
                hand.append(bare(world, f"hand-{n}"))
            return summary(world, hand, ours)
        finally:
            world.close()


def summary(world, hand, ours):
    def median(rows, column):
        return statistics.median(row[column] for row in rows)

    stable = 1.0
    return {
        "outage_by_hand_s": round(median(hand, 0), 3),
        "outage_s": round(median(ours, 0), 3),
        "outage_ratio": round(median(ours, 0) / median(hand, 0), 2),
        "beyond_build_up_and_stable_for_s": round(median(ours, 1) - median(hand, 1) - stable, 2),
        "push_to_first_step_ms": round(median(ours, 2) * 1000),
        "idle_pss_mb": pss(world),
    }


def pss(world):
    """Return the proportional memory of web, worker and Redis, in MB, by process."""
    total = {}
    for pid in {*world.pids(str(world.config)), *world.pids(str(world.state))}:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        size = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        total[f"{name} {pid}"] = round(size / 1024, 1)
    return {"total": round(sum(total.values()), 1), **total}


def main():
    with tempfile.TemporaryDirectory() as home:
        mongod = Mongod(Path(home) / "mongod")
        try:
            found = {kind: measure(mongod, kind) for kind in ("live", "quiesce")}
        finally:
            mongod.close()
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
