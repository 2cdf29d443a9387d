"""Slow work: what takes long and must never hold up a deployment.

Reading backups back. The danger is in the locks: a deployment waits for nothing here,
so the app's lock is not taken, and a backup that is read is kept by a lock of its own
(`backups.reading`). One slow work of an app at a time, by a lock that dies with its
process. All of it can be stopped at any moment and done again.

What is asked for through the API is a fsynced file (`requests`), so it survives restarts
and the loss of Redis. RQ's slow queue is its doorbell, as the other one is for
deployments. What kills its process is done again, three times at most.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from worker import configfile, lock, logs
from worker.adapters import process
from worker.backups import catalogue
from worker.backups.progress import Progress
from worker.backups.reading import reading
from worker.backups.verification import Verification, read_back
from worker.clock import rfc3339
from worker.errors import BusyError, NotFoundError, SheetanchorError
from worker.jobs import Runner, runner_of
from worker.requests import SLOW, Request, Requests

TRIES = 3  # of what kills its process
PATIENCE = 2.0  # seconds: a look whether the lock is free holds it for a moment
CLEANS_UP_WITHIN = 5.0  # seconds; what is left then, the next run removes
PAUSE = 0.05  # seconds between two tries to take it

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Slow:
    """The slow work of one app."""

    runner: Runner

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the app's slow work. Raises BusyError."""
        runner = self.runner
        deadline = runner.clock.monotonic() + PATIENCE
        with ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(lock.held(runner.state.slow_lock, runner.app.name))
                    break
                except BusyError as error:
                    if runner.clock.monotonic() >= deadline:
                        raise _busy(runner.app.name) from error
                runner.clock.sleep(PAUSE)
            yield

    def work_off(self) -> None:
        """Do what was asked for, oldest first. Returns at once when somebody else does."""
        with suppress(BusyError), self.alone():
            while asked := next(iter(self.requests.all()), None):
                self._do(asked)

    @property
    def requests(self) -> Requests:
        """What slow work was asked for."""
        return Requests(self.runner.state.slow, SLOW)

    def _do(self, asked: Request) -> None:
        """Do one thing; a failure of it is told, a death is counted, a stop is neither."""
        about = {"verb": asked.verb, "by": asked.by, "backup": asked.backup}
        extra = {"app": self.runner.app.name, **about}
        if asked.tries >= TRIES:
            log.error("slow.given_up", extra=extra | {"tries": asked.tries})
            self.requests.done(asked)
            return
        begun = self.requests.begin(asked)
        log.info("slow.started", extra=extra)
        with _stoppable(lambda: self.requests.put_back(asked)):
            try:
                self._act(begun)
            except SheetanchorError as error:
                log.warning("slow.failed", extra=extra | {"detail": str(error)})
        self.requests.done(begun)

    def _act(self, asked: Request) -> None:
        self.verify(asked.backup)

    def verify(self, backup: str | None) -> list[tuple[str, Verification]]:
        """Read one backup back, or all; return each one's id and what was found.

        Needs `alone`. Raises NotFoundError, and BackupError when one cannot be read for
        a cause that is not its own.
        """
        app = self.runner.app
        there = catalogue.folders(app.backup_dir, app.name)
        chosen = [path for path in there if backup in (None, path.name)]
        if not chosen:
            raise _missing(app.name, backup, there)
        found = [(path.name, self._read_back(path)) for path in chosen]
        self.runner.show()
        return found

    def _read_back(self, folder: Path) -> Verification:
        runner, count = self.runner, 0
        progress = Progress(self._say, runner.clock)

        def tick() -> None:
            nonlocal count
            count += 1
            progress.tick(lambda: f"{folder.name}: {count:,} files read back")

        with reading(folder):
            now = rfc3339(runner.clock.now())
            found = read_back(folder, runner.app.name, now, tick)
        extra = {"app": runner.app.name, "backup": folder.name, "damage": found.damage}
        if found.damage:
            log.error("backup.damaged", extra=extra)
        else:
            log.info("backup.verified", extra=extra)
        return found

    def _say(self, line: str) -> None:
        if self.runner.screen:
            self.runner.screen.line(line)


def _busy(app: str) -> BusyError:
    return BusyError(
        f"Other slow work of {app} runs already: a verify or a drill.",
        remedy="Wait for that to end, then try again.",
    )


def _missing(app: str, backup: str | None, there: list[Path]) -> NotFoundError:
    if not there:
        return NotFoundError(f"{app} has no backup.", remedy=f"Make one: sheetanchor backup {app}")
    names = ", ".join(path.name for path in there[:7])
    return NotFoundError(f"{app} has no backup {backup!r}.", remedy=f"Name one of: {names}.")


@contextmanager
def _stoppable(put_back: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM end what is done here at once, after `put_back`, as if it had not begun."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: now it cleans up
        put_back()
        at_last = threading.Timer(CLEANS_UP_WITHIN, os._exit, (0,))
        at_last.daemon = True
        at_last.start()  # a thread that hashes 50 GB does not hear of it
        log.info("slow.stopped")
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_app(app: str, request: str) -> None:
    """Answer the slow queue's bell: RQ calls this in a process of its own."""
    del request  # which one is done is decided under the lock
    process.die_with_parent(os.getppid())
    _work_off(app)


def main() -> None:
    """Work off one app: what the slow worker's scan starts, in a process of its own."""
    logs.start()
    _work_off(sys.argv[1])


def _work_off(app: str) -> None:
    config = configfile.load(configfile.find(None, os.environ))
    Slow(runner_of(config, app)).work_off()


if __name__ == "__main__":
    main()
