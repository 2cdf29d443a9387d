"""The units in deploy/systemd, run as systemd runs them: command line, signals, end."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.points import Points, waited
from tests.e2e.test_kill import GOOD
from tests.e2e.world import TOP, World, release, until

UNITS = TOP / "deploy" / "systemd"
PYTHON, CONFIG = "/opt/sheetanchor/.venv/bin/python", "/etc/sheetanchor/sheetanchor.toml"
HOUR = 3600  # seconds
# What systemd gives to a unit with `User=root` that sets nothing itself.
GIVEN = {"PATH": os.environ["PATH"], "HOME": str(Path.home()), "LANG": "C.UTF-8", "USER": "root"}


def settings(name):
    """Return key -> value of a unit; the units here repeat none."""
    lines = (UNITS / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and line[0] not in "#[")


class Manager:
    """What systemd is to one unit: starts it, asks it to stop, kills what is left."""

    def __init__(self, name, world, points):
        self.world, self.env = (
            world,
            GIVEN
            | {key: value for key, value in points.env.items() if key.startswith("SHEETANCHOR_")},
        )
        line = settings(name)["ExecStart"]
        self.argv = [self.here(word) for word in shlex.split(line)]
        self.log = world.home / f"{name}.log"

    def here(self, word):
        return {PYTHON: sys.executable, CONFIG: str(self.world.config)}.get(word, word)

    def start(self):
        with self.log.open("a") as log:
            self.main = subprocess.Popen(
                self.argv, cwd=TOP, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
        self.world.processes.append(self.main)

    def ask_to_stop(self):
        """`KillMode=mixed`: SIGTERM to the first process alone."""
        self.main.send_signal(signal.SIGTERM)

    def kill_what_is_left(self):
        """The end of TimeoutStopSec: SIGKILL to all that is left of it."""
        self.main.kill()
        self.main.wait()
        until(lambda: not self._kill(), "all of it is dead")

    def _kill(self):
        left = [pid for pid in self.world.pids(str(self.world.config)) if self.is_its(pid)]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left

    def is_its(self, pid):
        return pid not in (self.world.mongod.process.pid, self.world.redis.pid)


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    made = World(tmp_path_factory.mktemp("units"), mongod)
    try:
        made.prepare()
        made.nothing_was_lost()
        made.start_redis()
        made.points = Points(made.home / "points")
        yield made
    finally:
        made.tell()
        made.close()


def ready(world):
    return world.ask("GET", "/readyz")[0] == 200


def stop_twice(unit):
    """Ask it to stop, and once more when that can no longer pass for the same signal."""
    unit.ask_to_stop()
    time.sleep(1.2)  # RQ takes what comes within a second for one signal (measured)
    unit.ask_to_stop()


@pytest.mark.parametrize("name", ["sheetanchor.service", "sheetanchor-worker.service"])
def test_unit_lets_a_deployment_finish_and_starts_again_whatever_its_exit(name):
    found = settings(name)

    assert (found["KillMode"], found["Restart"]) == ("mixed", "always")
    assert found["TimeoutStopSec"] == "1h"
    assert found["StartLimitIntervalSec"] == "0"
    assert found["OOMPolicy"] == "continue"
    # One that is bound to Docker would be stopped with it, in the middle of a deployment.
    assert not {"Requires", "BindsTo", "PartOf", "Requisite"} & set(found)


def test_stop_lets_the_deployment_finish_and_leaves_queued_what_is_queued(world):
    web = Manager("sheetanchor-webhook.service", world, world.points)
    worker = Manager("sheetanchor-worker.service", world, world.points)
    web.start()
    worker.start()
    until(lambda: ready(world), "web and worker are ready")
    world.points.hold("deploy.switch.after_intent")
    first = world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"]
    world.points.wait("deploy.switch.after_intent")
    queued = world.push(GOOD)

    stop_twice(worker)
    world.points.release("deploy.switch.after_intent")

    assert waited(worker.main, 120) == 0
    assert world.deployment(first)["status"] == "succeeded"
    assert world.deployment(queued) is None
    assert world.version() == "one"
    worker.start()
    assert world.wait(queued)["status"] == "succeeded"
    assert world.version() == "two"
    worker.ask_to_stop()
    web.ask_to_stop()
    assert (waited(worker.main), waited(web.main)) == (0, 0)


def test_what_is_killed_at_the_end_of_the_stop_time_is_undone_at_the_next_start(world):
    unit = Manager("sheetanchor.service", world, world.points)
    unit.start()
    until(lambda: ready(world), "all is ready")
    world.fill()
    before = world.fingerprint()
    world.points.hold("deploy.switch.after_effect")
    identity = world.push({"release.json": release("three")})
    world.points.wait("deploy.switch.after_effect")
    stop_twice(unit)
    assert unit.main.poll() is None

    unit.kill_what_is_left()

    assert not world.deployment(identity)["finished_at"]
    unit.start()
    ended = world.wait(identity)
    assert ended["status"] == "rolled_back", ended
    assert world.fingerprint() == before
    unit.ask_to_stop()
    assert waited(unit.main, 120) == 0
