"""The worker is RQ's own, as in production; the jobs are written by hand, as by an intruder."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest
from rq import Worker

from worker import queue
from worker.errors import UnavailableError, UsageError
from worker.ledger import connect

ID = "20261122t143000-3f9a1c"
TRACE = "tests.test_queue.leave_a_trace"
ALLOWED_DATA = [TRACE, None, ["thynk", ID], {}]


def leave_a_trace(*what, **_more):
    """The one function that is allowed here, and the one that callbacks name."""
    with Path(os.environ["TRACE"]).open("a") as trace:
        trace.write(f"{len(what)} ")


@pytest.fixture(autouse=True)
def trace(tmp_path, monkeypatch):
    """Allow `leave_a_trace`; the file has the number of arguments of each call."""
    patterns = queue.AllowedJob.allowed[queue.RUN_APP]
    monkeypatch.setattr(queue.AllowedJob, "allowed", {queue.RUN_APP: patterns, TRACE: patterns})
    trace = tmp_path / "trace"
    trace.touch()
    monkeypatch.setenv("TRACE", str(trace))
    return trace


def work(redis, *, slow=False):
    """Run a worker on the queue until it is empty."""
    bell = queue.queue(redis, slow=slow)
    worker = Worker([bell], connection=redis, job_class=bell.job_class, serializer="json", name="w")
    worker.log.disabled = True
    worker.work(burst=True, with_scheduler=False)


def write_job(redis, data, job_id="raw1", *, slow=False, **fields):
    """Put a job into the queue with two raw commands."""
    job = {"data": json.dumps(data), "created_at": "2026-11-22T14:30:00.000000Z"}
    redis.hset(f"rq:job:{job_id}", mapping={**job, "status": "queued", **fields})
    redis.rpush(f"rq:queue:{queue.queue_name(slow=slow)}", job_id)


def status(redis, job_id="raw1"):
    found = redis.hget(f"rq:job:{job_id}", "status")
    return found.decode() if found else None


def test_ring_is_one_job_a_time_with_an_id_of_its_own(redis):
    queue.ring(redis, "thynk", ID)
    queue.ring(redis, "thynk", ID)

    first, second = queue.queue(redis).jobs
    assert first.id != second.id
    assert (first.func_name, list(first.args)) == (queue.RUN_APP, ["thynk", ID])
    assert (first.timeout, first.retries_left, first.failure_ttl) == (-1, None, 7 * 86_400)


def test_only_our_one_job_is_allowed(monkeypatch):
    monkeypatch.undo()  # what the fixture allows

    assert list(queue.AllowedJob.allowed) == [queue.RUN_APP] == ["worker.jobs.run_app"]


def test_slow_queue_is_another_one_and_allows_its_one_job_only(redis):
    queue.ring(redis, "thynk", ID, slow=True)

    [job] = queue.queue(redis, slow=True).jobs
    assert list(queue.SlowJob.allowed) == [queue.RUN_SLOW] == ["worker.slow.run_app"]
    assert (type(job), job.func.__name__) == (queue.SlowJob, "run_app")
    assert queue.queue(redis).jobs == []
    assert queue.queue_name("a", slow=True) != queue.queue_name("a-slow")
    with pytest.raises(UsageError):
        _ = queue.AllowedJob.fetch(job.id, connection=redis, serializer="json").func
    queue.ring(redis, "thynk", ID)
    [job] = queue.queue(redis).jobs
    with pytest.raises(UsageError):
        _ = queue.SlowJob.fetch(job.id, connection=redis, serializer="json").func


@pytest.mark.parametrize("name", [queue.RUN_APP, queue.RUN_SLOW])
def test_job_that_the_bell_names_exists(name):
    """The web names the job by a text; this keeps the text true."""
    module, _, function = name.rpartition(".")

    assert len(signature(getattr(import_module(module), function)).parameters) == 2


def test_ring_without_redis_says_that_it_is_unavailable(own_redis):
    own_redis.stop()

    with pytest.raises(UnavailableError):
        queue.ring(connect(own_redis.url, for_web=True), "thynk", ID)


def test_allowed_job_runs(redis, trace):
    write_job(redis, ALLOWED_DATA)

    work(redis)

    assert (trace.read_text(), status(redis)) == ("2 ", "finished")


@pytest.mark.parametrize(
    "data",
    [
        ["os.system", None, ["touch {canary}"], {}],
        ["subprocess.check_output", None, [["touch", "{canary}"]], {}],
        ["worker.jobs.os.system", None, ["touch {canary}"], {}],
        [TRACE, None, ["thynk", "--upload-pack=touch {canary}"], {}],
        [TRACE, None, ["../thynk", ID], {}],
        [TRACE, None, ["thynk", ID + "\n"], {}],
        [TRACE, None, ["thynk\n", ID], {}],
        [TRACE, None, [["thynk"], ID], {}],
        [TRACE, None, ["thynk"], {}],
        [TRACE, None, ["thynk", ID, "more"], {}],
        [TRACE, None, {"app": "thynk", "deployment_id": ID}, {}],
        [TRACE, None, ["thynk", ID], {"more": 1}],
        ["upper", "text", [], {}],
        [["os.system"], None, ["touch {canary}"], {}],
        [None, None, [], {}],
        ["not", "a job"],
    ],
    ids=lambda data: json.dumps(data)[:40],
)
def test_other_functions_and_arguments_are_refused(redis, tmp_path, trace, data):
    canary = tmp_path / "canary"
    write_job(redis, json.loads(json.dumps(data).replace("{canary}", str(canary))))

    work(redis)

    assert not canary.exists()
    assert trace.read_text() == ""
    assert status(redis) == "failed"


def test_slow_worker_refuses_what_is_no_job_of_its_queue(redis, tmp_path, trace):
    canary = tmp_path / "canary"
    write_job(redis, ["os.system", None, [f"touch {canary}"], {}], slow=True)
    write_job(redis, ALLOWED_DATA, "raw2", slow=True, success_callback_name=TRACE)

    work(redis, slow=True)

    assert (canary.exists(), trace.read_text()) == (False, "")
    assert (status(redis), status(redis, "raw2")) == ("failed", "failed")


def test_pickled_job_is_refused(redis, tmp_path):
    canary = tmp_path / "canary"
    pickled = f"cos\nsystem\n(S'touch {canary}'\ntR.".encode()
    write_job(redis, [])
    redis.hset("rq:job:raw1", "data", pickled)
    redis.hset("rq:job:raw1", "meta", pickled)

    work(redis)

    assert not canary.exists()


@pytest.mark.parametrize("data", [ALLOWED_DATA, ["os.abort", None, [], {}]], ids=["good", "bad"])
def test_callbacks_are_never_called(redis, trace, data):
    callbacks = {f"{when}_callback_name": TRACE for when in ("success", "failure", "stopped")}
    write_job(redis, data, **callbacks)

    work(redis)

    assert trace.read_text() in ("2 ", "")  # a callback has more arguments
    job = queue.AllowedJob.fetch("raw1", connection=redis, serializer="json")
    assert job.success_callback is job.failure_callback is job.stopped_callback is None


def test_urls_are_never_asked(redis):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        hooks = [{"url": url, "job_status": when} for when in ("finished", "failed")]
        write_job(redis, ALLOWED_DATA, webhooks=json.dumps(hooks))
        write_job(redis, ["os.abort", None, [], {}], "raw2", webhooks=json.dumps(hooks))
        work(redis)
        server.shutdown()
        thread.join()

    assert asked == []


def test_retries_repeats_and_limits_of_the_hash_have_no_effect(redis, trace):
    again = {"retries_left": 3, "repeats_left": 3, "repeat_intervals": "[0]", "timeout": 1}
    write_job(redis, ["os.abort", None, [], {}], **again)
    write_job(redis, ALLOWED_DATA, "raw2", **again)

    work(redis)

    assert trace.read_text() == "2 "
    assert queue.queue(redis).count == 0
    job = queue.AllowedJob.fetch("raw1", connection=redis, serializer="json")
    assert (job.timeout, job.retries_left, job.repeats_left) == (-1, None, None)


def test_refusal_names_neither_function_nor_arguments(redis):
    job = queue.AllowedJob(id="raw1", connection=redis, serializer="json")
    job.data = json.dumps(["os.system", None, ["secret"], {}]).encode()

    with pytest.raises(UsageError) as refused:
        _ = job.func

    assert "secret" not in str(refused.value)
