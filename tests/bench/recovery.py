"""What a death costs, on real parts: `python -m tests.bench.recovery [ROUNDS]`, in the top folder.

Prints one JSON object: the seconds from a worker's start to the end of the recovery of a
deployment that was killed in `switch`, beside the seconds that the old version itself
takes from its start until it answers and the `stable_for` that is waited for; and the
milliseconds that the journal of a whole deployment costs, record by record, on this disk.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.conftest import Mongod
from tests.e2e.killing import Arena
from tests.e2e.points import kill, waited
from tests.e2e.world import until
from worker.clock import SystemClock, parse
from worker.journal import Journal

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
POINT = "deploy.switch.after_effect"
STABLE_FOR = 1.0  # seconds, the arena's


def recovery(arena):
    """Return the seconds from a worker's start to the end of the recovery."""
    arena.ready()
    arena.points.hold(POINT)
    identity = arena.world.push(arena.files())
    standing = arena.points.wait(POINT)
    kill(arena.worker.pid)
    waited(arena.worker)
    until(lambda: not Path(f"/proc/{standing}").exists(), "the job died, too")
    began = time.time()
    arena.start_worker()
    ended = arena.world.wait(identity)
    assert ended["status"] == "rolled_back", ended
    arena.check()
    return parse(ended["finished_at"]).timestamp() - began


def own_start(arena):
    """Return the seconds that the version that runs takes from its start until it answers."""
    world = arena.world
    container = subprocess.run(
        ["docker", "ps", "-q", "--filter", f"label=com.docker.compose.project={world.name}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    subprocess.run(["docker", "stop", "-t", "1", container], capture_output=True, check=True)
    began = time.time()
    subprocess.run(["docker", "start", container], capture_output=True, check=True)
    until(lambda: world.version() is not None, "it answers")
    return time.time() - began


def journal_cost(arena, folder):
    """Return how many records a whole deployment has, and the milliseconds of writing them."""
    records = max((arena.records(one.id) for one in arena.releases), key=len)
    journal = Journal(folder / "one.jsonl", SystemClock())
    began = time.perf_counter()
    for one in records:
        journal.append(one["phase"], one["step"], one["event"], one["facts"])
    return len(records), (time.perf_counter() - began) * 1000


def main():
    with tempfile.TemporaryDirectory() as home:
        mongod = Mongod(Path(home) / "mongod")
        (Path(home) / "arena").mkdir()
        arena = Arena(Path(home) / "arena", mongod)
        try:
            arena.begin()
            start = [own_start(arena) for _ in range(ROUNDS)]
            took = [recovery(arena) for _ in range(ROUNDS)]
            costs = []
            for number in range(ROUNDS):
                folder = Path(home) / f"journal-{number}"
                folder.mkdir()
                costs.append(journal_cost(arena, folder))
        finally:
            arena.close()
            mongod.close()
    shown = {
        "rounds": ROUNDS,
        "recovery_seconds": {"median": statistics.median(took), "worst": max(took)},
        "own_start_seconds": statistics.median(start),
        "stable_for_seconds": STABLE_FOR,
        "journal": {
            "records": costs[0][0],
            "median_ms": statistics.median(ms for _, ms in costs),
            "worst_ms": max(ms for _, ms in costs),
        },
    }
    print(json.dumps(shown, indent=1))


if __name__ == "__main__":
    main()
