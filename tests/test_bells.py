"""A worker as production runs it, while an intruder writes to its Redis whatever RQ reads."""

import json
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from tests.conftest import until
from tests.test_queue import ALLOWED_DATA, TRACE, status, write_job
from worker import bells, queue, stopping

QUEUE = f"rq:queue:{queue.queue_name()}"
PICKLE = "cos\nsystem\n(S'touch {canary}'\ntR."


def main():
    """Answer the bells of the Redis of the first argument until SIGTERM."""
    queue.AllowedJob.allowed = {TRACE: queue.AllowedJob.allowed[queue.RUN_APP]}
    config = SimpleNamespace(server=SimpleNamespace(redis_url=sys.argv[1]))
    asked = threading.Event()
    stopping.listen(asked)
    bells.answer_bells(config, lambda: None, asked)


class Bells:
    """The worker's process. `trace` has the number of arguments of each call of the good job."""

    def __init__(self, redis, url, home):
        self.redis, self.trace, self.canary = redis, home / "trace", home / "canary"
        self.log, self.rung = home / "log", 0
        self.trace.touch()
        with self.log.open("wb") as log:
            env = os.environ | {"TRACE": str(self.trace)}
            argv = [sys.executable, "-c", "from tests.test_bells import main; main()", url]
            self.process = subprocess.Popen(argv, env=env, stderr=log, stdout=log)

    def attack(self, data, job_id, **fields):
        written = json.loads(json.dumps(data).replace("{canary}", str(self.canary)))
        write_job(self.redis, written, job_id, **fields)

    def assert_unharmed(self):
        """A good job still runs, in the same process, and nothing else ever did."""
        self.rung += 1
        write_job(self.redis, ALLOWED_DATA, f"good{self.rung}")
        until(lambda: self.trace.read_text() == "2 " * self.rung, "the good job ran")
        until(lambda: self.redis.llen(QUEUE) == 0, "every job was taken")
        assert self.process.poll() is None
        assert not self.canary.exists()


@pytest.fixture
def ringing(redis, redis_url, tmp_path):
    started = Bells(redis, redis_url, tmp_path)
    try:
        yield started
    finally:
        started.process.terminate()
        started.process.wait(60)


def test_intruder_in_redis_runs_nothing_and_stops_no_worker(ringing):
    redis = ringing.redis
    ringing.assert_unharmed()

    _command_every_worker(redis)
    redis.set("rq:suspended", 1)
    ringing.assert_unharmed()

    system = ["os.system", None, ["touch {canary}"], {}]
    callbacks = {f"{when}_callback_name": "os.system" for when in ("success", "failure", "stopped")}
    ringing.attack(system, "raw1", **callbacks)
    ringing.attack([*ALLOWED_DATA[:2], ["thynk", "; touch {canary}"], {}], "raw2", **callbacks)
    pickled = PICKLE.format(canary=ringing.canary)
    ringing.attack([], "raw3", meta=pickled, result=pickled, exc_info=pickled)
    redis.hset("rq:job:raw3", "data", pickled)
    ringing.assert_unharmed()
    assert status(redis, "raw1") == status(redis, "raw2") == "failed"

    _depend(ringing, system)
    _abandon(ringing, system, callbacks)
    _break(redis)
    ringing.assert_unharmed()
    assert "was refused: it asks for what no job of ours does" in ringing.log.read_text()


def _command_every_worker(redis):
    """Say all that RQ's workers obey on their channels."""
    until(lambda: redis.smembers("rq:workers"), "a worker is listed")
    names = [one.decode().rpartition(":")[2] for one in redis.smembers("rq:workers")]
    for name in names:
        for command in ("shutdown", "kill-horse", "stop-job", "stop-execution"):
            said = {"command": command, "job_id": "good1", "execution_id": "1"}
            assert redis.publish(f"rq:pubsub:{name}", json.dumps(said)) == 0


def _depend(ringing, system):
    """Have jobs follow a good one, and come due by RQ's scheduler and its cron."""
    redis, now = ringing.redis, int(time.time()) - 60
    ringing.attack(system, "next", dependency_ids=json.dumps(["first"]), dependency_id="first")
    redis.lrem(QUEUE, 0, "next")
    redis.hset("rq:job:next", "status", "deferred")
    redis.sadd("rq:job:first:dependents", "next")
    ringing.rung += 1
    write_job(redis, ALLOWED_DATA, "first")
    redis.zadd(f"rq:scheduled:{queue.queue_name()}", {"next": now})
    redis.zadd(f"rq:deferred:{queue.queue_name()}", {"next": now})
    redis.sadd("rq:cron_schedulers", "x")


def _abandon(ringing, system, callbacks):
    """Leave what RQ cleans up behind dead workers, which runs callbacks in the worker itself."""
    redis, now = ringing.redis, int(time.time()) - 600
    ringing.attack(system, "left", **callbacks, retries_left=3)
    redis.lrem(QUEUE, 0, "left")
    redis.hset("rq:job:left", "status", "started")
    redis.zadd(f"rq:wip:{queue.queue_name()}", {"left": now, "left:execution": now})
    redis.rpush(f"{QUEUE}:intermediate", "left", "gone")
    redis.sadd("rq:groups", "rq:group:x")
    redis.set("rq:group:x", "no set")


def _break(redis):
    """Leave jobs that RQ cannot read: it then gives up, and has to be started again."""
    redis.set("rq:job:text", "no hash")
    redis.hset("rq:job:empty", "no", "field")
    redis.hset("rq:job:bytes", mapping={"data": b"\xff\xfe", "created_at": b"\xff"})
    redis.hset("rq:job:time", mapping={"data": json.dumps(ALLOWED_DATA), "created_at": "soon"})
    redis.rpush(QUEUE, "text", "empty", "bytes", "time", "gone", "../x", b"\xff", "")
