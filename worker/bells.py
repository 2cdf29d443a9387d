"""A worker: RQ's, on this host's queue, beside the scan.

RQ's own supervision is not relied on: when it gives up (Redis went away, a
malformed job), it is started again in the same process, so that a running job
keeps its parent.
"""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from redis import Redis, RedisError
from rq import Worker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer

import worker.jobs  # noqa: F401 - imported once, so that each fork of this process is ready
from worker import ledger, service
from worker.abandoned import abandoned
from worker.clock import SystemClock
from worker.config import Config
from worker.errors import SheetanchorError
from worker.keeper import Keeper
from worker.ledger import Ledger
from worker.queue import queue
from worker.scan import Scan
from worker.stopping import listen

log = logging.getLogger(__name__)


class BellWorker(Worker):
    """RQ's worker, that tells the scan when a job process was killed.

    It obeys nobody through Redis: RQ's workers end, kill their job or stand still for whoever
    can write there (measured), and a killed job is a deployment undone.
    """

    wake: Callable[[], None]
    stopping: threading.Event

    def handle_work_horse_killed(self, job: Job, *args: Any, **kwargs: Any) -> None:
        """Have the way back begin at once, in a process of its own."""
        log.warning("job.killed", extra={"job": job.id})
        self.wake()

    def subscribe(self) -> None:
        """Listen to no commands: `shutdown`, `kill-horse` and `stop-job` are a channel's."""

    def check_for_suspension(self, burst: bool) -> None:
        """Go on: there is a key that would suspend every worker."""

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Tell the running job, which then begins nothing more; a second signal changes nothing."""
        if self.stopping.is_set():
            return
        if self.horse_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGTERM)
        self.stopping.set()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call] # RQ has no types there

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """Do nothing: RQ would kill the job; it is let finish, however often it is asked."""


def work(config: Config) -> int:
    """Run a worker until SIGTERM; it then finishes the deployment that runs. Exit code 0."""
    service.environment(config)
    service.refuse_unsafe_redis(config)
    for left in abandoned(config.server.state_dir / "apps", config.apps, SystemClock()):
        log.error("app.abandoned", extra={"app": left.app, "detail": str(left)})
    stopping = threading.Event()
    listen(stopping)
    slow = Keeper(config, stopping)
    slow.start()
    scan = Scan(config, Ledger(ledger.connect(ledger.url_of(config), for_web=True)))
    scan.start()
    answer_bells(config, scan.wake, stopping)
    scan.stop()
    slow.join()
    _wait_for_jobs()
    return 0


def answer_bells(
    config: Config,
    wake: Callable[[], None],
    stopping: threading.Event,
    *,
    slow: bool = False,
) -> None:
    """Answer the bells of a queue until asked to stop, whatever becomes of Redis."""
    while not stopping.is_set():
        _answer_bells(config, wake, stopping, slow=slow)
        listen(stopping)  # RQ leaves handlers of its own behind
        stopping.wait(1)


def _answer_bells(
    config: Config,
    wake: Callable[[], None],
    stopping: threading.Event,
    *,
    slow: bool,
) -> None:
    """Run RQ's worker until it gives up or is asked to stop."""
    redis = ledger.connect(ledger.url_of(config), for_web=False)
    try:
        _wait_for_redis(redis, stopping)
        if stopping.is_set():
            return
        ledger.check(redis)
        bell = queue(redis, slow=slow)
        bells = BellWorker(
            [bell],
            connection=redis,
            job_class=bell.job_class,
            serializer=JSONSerializer,
            worker_ttl=60,
            job_monitoring_interval=10,
            maintenance_interval=30,
        )
        bells.wake, bells.stopping = wake, stopping
        bells.work(logging_level="WARNING")
    except (RedisError, SheetanchorError, OSError) as error:
        log.warning("bells.lost", extra={"error": str(error)})
    except (SystemExit, StopRequested):
        log.warning("bells.stopped")
    finally:
        redis.close()


def _wait_for_redis(redis: Redis, stopping: threading.Event) -> None:
    said = False
    while not stopping.is_set():
        try:
            redis.ping()
        except RedisError as error:
            if not said:
                log.warning("redis.missing", extra={"error": str(error)})
            said = True
            stopping.wait(1)
        else:
            return


def _wait_for_jobs() -> None:
    """Let a job process that RQ lost sight of come to its end."""
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return
