"""Slow work: what takes long and must never hold up a deployment.

Reading backups back, drills (`proving`), copies at other places (`sending`). The danger is
in the locks: a deployment waits for nothing here, so the app's lock is not taken, and a
backup that is read is kept by a lock of its own (`backups.reading`). One slow work of an
app at a time, by a lock that dies with its process. All of it can be stopped at any moment
and done again.

What is asked for through the API is a fsynced file (`requests`), so it survives restarts
and the loss of Redis. RQ's slow queue is its doorbell, as the other one is for
deployments. What kills its process is done again, three times at most.

What is due by itself (`schedule`) is done here, too. A scheduled backup holds the app's
lock, as any other does: while it reads, no deployment may change what it reads.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from worker import configfile, lock, logs, recovery, schedule
from worker.adapters import process
from worker.backups import undone
from worker.backups.drill import Drilled
from worker.clock import rfc3339
from worker.deployment import new_id
from worker.errors import (
    BusyError,
    DiedError,
    FullError,
    NotFoundError,
    SheetanchorError,
    UnavailableError,
)
from worker.jobs import Runner, runner_of
from worker.proving import Proving
from worker.requests import BACKUP, DRILL, SLOW, Request, Requests
from worker.schedule import Schedule
from worker.sending import Sending
from worker.stoppable import stoppable

TRIES = 3  # of what kills its process
PATIENCE = 2.0  # seconds: a look whether the lock is free holds it for a moment

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Slow:
    """The slow work of one app."""

    runner: Runner

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the app's slow work. Raises BusyError."""
        runner = self.runner
        path, name = runner.state.slow_lock, runner.app.name
        with ExitStack() as stack:
            try:
                stack.enter_context(lock.waited_for(path, name, runner.clock, PATIENCE))
            except BusyError as error:
                raise _busy(name) from error
            yield

    def work_off(self) -> None:
        """Do what is due and what was asked for. Returns at once when somebody else does."""
        with suppress(BusyError), self.alone():
            self._schedule.settle()
            self._back_up_if_due()
            self._back_up_if_asked()
            while asked := next((one for one in self.requests.all() if one.verb != BACKUP), None):
                self._do(asked)
            self._send_what_is_due()
            if schedule.DRILL in self._schedule.due():
                self._on_time(schedule.DRILL, self._proving.prove)

    def _send_what_is_due(self) -> None:
        """Send out what a good backup calls for; each failure is recorded and shown."""
        sending = Sending(self.runner)
        for name in sending.due():
            with stoppable(sending.begin(name)):
                sending.send(name)

    def _back_up_if_due(self) -> None:
        """Make the scheduled backup, unless somebody works on the app: then it waits its turn."""
        if schedule.BACKUP in self._schedule.due():
            made = partial(self.runner.back_up, "scheduled")
            self._in_its_turn(lambda: self._on_time(schedule.BACKUP, made))

    def _back_up_if_asked(self) -> None:
        """Make the backups that were asked for, in their turn as well."""
        for asked in self.requests.all():
            if asked.verb == BACKUP:
                self._in_its_turn(partial(self._do, asked))

    def _in_its_turn(self, act: Callable[[], None]) -> None:
        """Act while the app's lock is held, or leave it: it stays due, or asked for."""
        runner = self.runner
        try:
            with runner.locked(PATIENCE):
                if recovery.open_journals(runner.state, runner.clock):
                    raise _busy(runner.app.name)  # a dead deployment, which is brought to its end
                act()
        except BusyError as error:
            log.info("backup.waits", extra={"app": runner.app.name, "why": error.message})

    def _on_time(self, kind: str, act: Callable[[], object]) -> None:
        """Do what is due; its failure is recorded and shown, and a backup is tried again."""
        begun = self._schedule.begin(kind)
        with stoppable(lambda: self._schedule.put_back(kind, begun)):
            try:
                act()
            except SheetanchorError as error:
                self._failed(kind, error)
            else:
                self._schedule.succeeded(kind)
        self.runner.show()

    def _failed(self, kind: str, error: SheetanchorError) -> None:
        redact = configfile.redactor(self.runner.app)
        why, remedy = redact(error.message), redact(error.remedy)
        extra = {"app": self.runner.app.name, "kind": kind, "why": why}
        log.error("schedule.failed", extra=extra)
        away = isinstance(error, UnavailableError) and not isinstance(error, FullError)
        again = kind == schedule.BACKUP or away
        self._schedule.failed(kind, why, remedy, again=again)

    @property
    def _schedule(self) -> Schedule:
        runner = self.runner
        return Schedule.of(runner.app, runner.state, runner.clock)

    @property
    def _proving(self) -> Proving:
        return Proving(self.runner)

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
            self._give_up(asked)
            self.requests.done(asked)
            return
        begun = self.requests.begin(asked)
        log.info("slow.started", extra=extra)
        with stoppable(lambda: self.requests.put_back(asked)):
            try:
                self._act(begun)
            except SheetanchorError as error:
                log.warning("slow.failed", extra=extra | {"detail": str(error)})
                self._told(begun, error)
        self.requests.done(begun)

    def _act(self, asked: Request) -> None:
        if asked.verb == DRILL:
            self._proving.drill()
        elif asked.verb == BACKUP:
            self.runner.back_up("manual")
            undone.over(self.runner.state.undone, BACKUP)
            self.runner.show()
        else:
            self._proving.verify(asked.backup)

    def _give_up(self, asked: Request) -> None:
        if asked.verb == DRILL:
            self._proving.give_up_drill(asked.tries)
            return
        died = DiedError(
            f"The process that did it died {asked.tries} times.",
            remedy="Look for the cause in the system's log (no memory?), then ask again.",
        )
        self._told(asked, died)

    def _told(self, asked: Request, error: SheetanchorError) -> None:
        """Show what was not done; a drill shows its own, and a backup that went is no loss."""
        if asked.verb == DRILL or isinstance(error, NotFoundError):
            return
        runner, redact = self.runner, configfile.redactor(self.runner.app)
        failure = {
            "verb": asked.verb,
            "backup": asked.backup,
            "at": rfc3339(runner.clock.now()),
            "by": asked.by,
            "why": redact(error.message),
            "remedy": redact(error.remedy),
        }
        undone.noted(runner.state.undone, failure)
        runner.show()

    def drill_noted(self, by: str) -> Drilled:
        """Drill; killed in the middle of it, a worker does it again. Needs `alone`."""
        now = self.runner.clock.now()
        asked = Request(id=new_id(now), verb=DRILL, by=by, at=rfc3339(now), tries=1)
        self.requests.leave(asked)
        try:
            return self._proving.drill()
        finally:
            self.requests.done(asked)


def _busy(app: str) -> BusyError:
    return BusyError(
        f"Other slow work of {app} runs already: a verify, a drill or an offsite copy.",
        remedy="Wait for that to end, then try again.",
    )


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
