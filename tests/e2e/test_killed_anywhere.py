"""Killed at random times, and at the nth fsync: each end is a legal one.

At random times over a deployment and its way back the job process is killed, or the worker
with it: in CI a few, SHEETANCHOR_KILLS=200 for the long run, repeated by SHEETANCHOR_SEED as
far as time can be. At its nth fsync (journal, decisions, releases, backups, what is put back)
a deployment by hand is killed by strace: in CI each 43rd, SHEETANCHOR_EXHAUSTIVE=N for each
Nth (1: all).
"""

import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from tests.e2e.kinds import Bad, Kind, differences
from tests.e2e.points import is_gone, waited
from tests.e2e.world import FINAL, until

KILLS = int(os.environ.get("SHEETANCHOR_KILLS") or 6)
SEED = int(os.environ.get("SHEETANCHOR_SEED") or 20261122)
LONGER = 1.1  # times the measured duration
ENDS = {"succeeded", "failed", "rolled_back"}
EVERY = int(os.environ.get("SHEETANCHOR_EXHAUSTIVE") or 43)
AROUND_THE_COMMIT = 14  # fsyncs from before the commit up to the end
IN_TURN = Path(__file__).with_name("in_turn.py")


def judge(arena, kind, identity, before, end):
    """Have the app be as this end says, and all be at rest."""
    after = arena.world.fingerprint()
    if end == "succeeded":
        wrong = list(kind.strange(arena, identity, before, after))
        kind.note(arena, identity, before)
    else:
        wrong = list(differences(before, after))
    assert wrong == [], (end, json.dumps(arena.records(identity), indent=1))
    arena.check()


def measured(arena, kind):
    """Return how long a deployment of this kind takes when nobody is killed."""
    before, began = arena.world.fingerprint(), time.monotonic()
    ended = arena.world.wait(kind.begin(arena, by_hand=False))
    took = time.monotonic() - began
    assert ended["status"] == ("rolled_back" if isinstance(kind, Bad) else "succeeded"), ended
    judge(arena, kind, ended["id"], before, ended["status"])
    return took


def killed_after(arena, kind, victim, wait):
    """Kill after so long; return the step in which that was, and the deployment's end."""
    world = arena.world
    arena.ready()
    before = world.fingerprint()
    identity = kind.begin(arena, by_hand=False)
    time.sleep(wait)
    records = arena.records(identity)
    working = records and records[-1]["event"] != "end" and records[-1]["pid"]
    if working and not is_gone(working):
        step = f"{records[-1]['phase']}.{records[-1]['step']}"
        arena.kill(victim, working)
    else:
        step = "after the end" if records else "before the begin"
    ended = world.wait(identity)
    assert ended["status"] in ENDS, ended
    judge(arena, kind, identity, before, ended["status"])
    return step, ended["status"]


def test_killed_at_random_times_it_ends_old_or_new(arena, record_property):
    chance = random.Random(SEED)
    kinds = Kind(), Bad()
    lasts = {kind.name: LONGER * measured(arena, kind) for kind in kinds}
    seen = Counter()
    for number in range(KILLS):
        kind, victim = chance.choice(kinds), chance.choice(("job", "worker"))
        wait = chance.uniform(0, lasts[kind.name])
        step, end = killed_after(arena, kind, victim, wait)
        seen[step, end] += 1
        print(f"{number}: {kind.name}, {victim} killed at {wait:.1f} s: {step}, {end}", flush=True)

    print(f"seed {SEED}; how long they last: {lasts}")
    for (step, end), count in sorted(seen.items()):
        print(f"{count:4} {step}: {end}")
    hit = sum(count for (step, _), count in seen.items() if "the " not in step)
    record_property("kills", ("random times in the middle", hit, KILLS))
    assert hit >= KILLS / 3, f"only {hit} of {KILLS} kills hit a deployment that ran"


def traced(arena, kind, *options):
    """Run a deployment of this kind from the command line under strace; return its id and end."""
    world = arena.world
    world.commit(kind.files(arena))
    log = world.home / "fsyncs"
    command = ["strace", "-qqq", "-o", str(log), "-e", "trace=fsync", *options]
    command += [sys.executable, str(IN_TURN), "--config", str(world.config), "deploy", world.name]
    there = set(ids(arena))
    code = waited(arena.run(command), 300)
    new = [one for one in ids(arena) if one not in there]
    return (new[0] if new else None), code, len(re.findall("^fsync", log.read_text(), re.MULTILINE))


def ids(arena):
    folder = arena.world.state / "apps" / arena.world.name / "journal"
    return [path.stem for path in folder.glob("*.jsonl")]


def killed_at(arena, kind, number):
    """Kill it at its nth fsync; return its end, or None when it did not come so far."""
    arena.ready()
    before = arena.world.fingerprint()
    identity, code, _ = traced(arena, kind, "-e", f"inject=fsync:signal=KILL:when={number}")
    if code != -signal.SIGKILL:
        return None
    end = until(lambda: end_of(arena, identity), f"{identity} is brought to its end", 300)
    judge(arena, kind, identity, before, end)
    return end


def end_of(arena, identity):
    """Return the final status of what was killed; `forgotten` when nothing had begun."""
    if identity is None or identity not in ids(arena):
        return "forgotten"
    found = arena.world.deployment(identity)
    return found["status"] if found and found["status"] in FINAL else None


def each_fsync(arena, kind, first, record_property):
    """Kill at each nth from the first on, up to the last; show how it ended."""
    arena.ready()  # or the worker's first look brings the head before the command does
    identity, _, last = traced(arena, kind)
    assert end_of(arena, identity) in ("succeeded", "rolled_back")
    arena.check()
    numbers, ends = range(max(1, last + first if first < 0 else first), last + 1, EVERY), []
    for number in numbers:
        ends.append(killed_at(arena, kind, number))
        print(f"{kind.name}: killed at fsync {number} of {last}: {ends[-1]}", flush=True)
    assert None not in ends[:-3], ends  # the last few may not be reached: their number varies
    record_property("kills", (f"fsyncs of a {kind.name}", len(ends), last))


def test_killed_at_each_fsync_of_a_deployment_and_its_way_back(arena, record_property):
    each_fsync(arena, Bad(), EVERY // 2 + 1, record_property)


def test_killed_at_each_fsync_around_the_commit(arena, record_property):
    each_fsync(arena, Kind(), -AROUND_THE_COMMIT, record_property)
