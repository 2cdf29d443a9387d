"""Runs deployments: RQ's entry point, and the one place that wires real adapters.

A job is a doorbell: it names an app. Whoever answers takes the app's lock,
finishes what a dead process left, then works through what is queued.
"""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

from worker import aftermath, configfile, lock, logs, recovery, stopping
from worker.adapters import process
from worker.adapters.engine import Engine
from worker.backups import catalogue, seen
from worker.backups.catalogue import Backup
from worker.backups.make import make
from worker.carrying import Carrying
from worker.clock import Clock, SystemClock
from worker.config import App, Config
from worker.decisions import Decisions
from worker.deployment import Deployment, Status
from worker.errors import BusyError, FullError, NotFoundError, SheetanchorError, UnavailableError
from worker.journal import Journal
from worker.ledger import Ledger, connect, url_of
from worker.orders import Orders
from worker.pipeline import Pipeline
from worker.redact import redacted
from worker.report import Report, Screen
from worker.state import State
from worker.steps import addresses, data, ownership
from worker.steps.attempt import Attempt, mongo_at, mongodb_uri
from worker.waiting import Waiting

log = logging.getLogger(__name__)


@dataclass
class Runner:
    """Everything that runs the deployments of one app in this process."""

    config: Config
    app: App
    ledger: Ledger | None
    screen: Screen | None = None
    clock: Clock = field(default_factory=SystemClock)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def state(self) -> State:
        """The app's files."""
        return State.of(self.config, self.app)

    @property
    def decisions(self) -> Decisions:
        """The app's decisions and holds."""
        return Decisions(self.state.decisions)

    @contextmanager
    def locked(self, patience: float = 0.0) -> Iterator[None]:
        """Hold the app: its lock file and its checkout's Git folder.

        Raises BusyError, when the file is not to be had for `patience` seconds: a look at the
        remote, or the tidying after a deployment's end, holds it for a moment. Nobody waits
        for a deployment that runs, nor for the folder: only another deployer holds that alone.
        """
        name, state, clock = self.app.name, self.state, self.clock
        runs = partial(recovery.open_journals, state, clock)
        with ExitStack() as stack:
            stack.enter_context(lock.waited_for(state.lock, name, clock, patience, runs))
            git_folder = self.app.checkout / ".git"
            if git_folder.is_dir():
                stack.enter_context(lock.held(git_folder, name))
            yield

    def recover(self) -> list[tuple[str, Status]]:
        """Finish what dead processes left; return what became of it. Needs the lock."""
        if recovery.set_aside(self.app.name, self.state, self.clock):
            self.show()
        ended = recovery.finish_all(self.state, self.clock, self._inherit)
        recovery.count(self.ledger, self.app.name, len(ended))
        for one, status in ended:
            self._told(one, status)
        if ended or any(self.state.works.iterdir()):  # or somebody died before he tidied
            self._tidy()
        return ended

    def _told(self, deployment: str, status: Status) -> None:
        extra = {"app": self.app.name, "deployment": deployment, "status": str(status)}
        log.info("deployment.ended", extra=extra)

    def run(self, deployment: Deployment) -> Status:
        """Run one deployment to its end, or all the way back. Needs the lock."""
        journal = Journal.begin(self.state.journals, deployment, self.clock)
        log.info("deployment.started", extra={"app": self.app.name, "deployment": deployment.id})
        status = self._pipeline(journal, deployment).run()
        self._told(deployment.id, status)
        if any((one["step"], one["event"]) == ("preflight", "done") for one in journal.records()):
            seen.told(self.state.seen_backups, self.app)  # in its warnings
        self._tidy()
        return status

    def back_up(self, kind: str) -> Backup:
        """Make and verify a backup now. Needs the lock. Raises BackupError."""
        there = catalogue.backups(self.app.backup_dir, self.app.name)
        redact = configfile.redactor(self.app)
        uri = mongodb_uri(self.app, self.state.scratch)
        self._refuse_another_database(uri)
        mongo = mongo_at(self.app, uri)
        with mongo or contextlib.nullcontext():
            made = make(
                data.source_of(self.app, mongo, self.clock),
                kind=kind,
                deployment=None,
                revision=(self.decisions.read()["running"] or {}).get("revision"),
                images={},
                why=f"a {kind} backup",
                previous=catalogue.newest_verified(there),
                report=lambda one: self.screen.line(redacted(one, redact)) if self.screen else None,
            )
        self._tidy()
        return made

    def _refuse_another_database(self, uri: str | None) -> None:
        """Refuse a backup of what the app does not write to; without Docker nothing runs."""
        engine = Engine()
        with contextlib.suppress(UnavailableError):
            if project := ownership.project_of(self.app, self.state, engine):
                there = engine.containers(project)
                addresses.judge(self.app, engine, project, there, uri)

    def work_off(self) -> None:
        """Recover, then run what is queued, until nothing is, it is busy or asked to stop."""
        while not self.stopping.is_set():
            try:
                with self.locked():
                    self.recover()
                    while not self.stopping.is_set() and (deployment := self._next()):
                        self.run(deployment)
            except BusyError:
                return
            if not self.waiting.any():
                return

    def settle(self) -> None:
        """Carry out what people ordered, end what they cancelled. Needs the lock."""
        asked = Carrying(self.app, self.state, self.ledger, self.clock)
        if ordered := asked.carry_out():
            self.recover()  # a `resume` opens a way back again
        if self.waiting.end_cancelled() or ordered:
            self.show()

    def _next(self) -> Deployment | None:
        self.settle()
        return self.waiting.next()

    @property
    def orders(self) -> Orders:
        """What people may order about the app."""
        return Orders(self.app, self.state, self.ledger, self.clock)

    @property
    def waiting(self) -> Waiting:
        """What waits for its turn."""
        return Waiting(self.app, self.state, self.ledger, self.clock)

    def _pipeline(
        self, journal: Journal, deployment: Deployment, *, inherited: bool = False
    ) -> Pipeline:
        redact = configfile.redactor(self.app)
        report = Report(
            deployment,
            journal,
            self.state.log(deployment.id),
            ledger=self.ledger,
            redact=redact,
            clock=self.clock,
            screen=self.screen,
        )
        attempt = Attempt(
            app=self.app,
            deployment=deployment,
            state=self.state,
            clock=self.clock,
            engine=Engine(),
            say=report.line,
            redact=redact,
            inherited=inherited,
            others=self.config.others(self.app),
        )
        return Pipeline(attempt, journal, report.record)

    def _inherit(self, journal: Journal) -> Pipeline:
        deployment = journal.deployment()
        if deployment is None:
            raise NotFoundError(f"{journal.path} is empty.", remedy="Remove it.")
        pipeline = self._pipeline(journal, deployment, inherited=True)
        pipeline.take_over()
        return pipeline

    def _tidy(self) -> None:
        """Remove what nobody needs any more; show what there is. Never fails a deployment."""
        try:
            aftermath.tidy(self.app, self.state, Engine(), self.clock)
        except (SheetanchorError, OSError) as error:
            log.warning("aftermath.failed", extra={"app": self.app.name, "error": str(error)})
        self.show()

    def show(self) -> None:
        """Show what runs, holds and backups, if Redis answers."""
        try:
            if self.ledger:
                aftermath.show(self.app, self.state, self.ledger)
        except UnavailableError as error:
            log.warning("ledger.late", extra={"app": self.app.name, "error": str(error)})


def runner_of(config: Config, name: str, *, screen: Screen | None = None) -> Runner:
    """Return the runner of an app."""
    ledger = Ledger(connect(url_of(config), for_web=True))
    return Runner(config, configfile.app_of(config, name), ledger, screen)


def run_app(app: str, deployment: str) -> None:
    """Answer the bell: RQ calls this in a process of its own."""
    del deployment  # which one runs is decided under the lock
    process.die_with_parent(os.getppid())
    _work_off(app)


def main() -> None:
    """Work off one app: what a worker's scan starts, in a process of its own."""
    logs.start()
    _work_off(sys.argv[1])


def _work_off(app: str) -> None:
    runner = runner_of(configfile.load(configfile.find(None, os.environ)), app)
    stopping.listen(runner.stopping)
    try:
        runner.work_off()
    except FullError as error:  # the scan goes on once there is room
        log.error("disk.full", extra={"app": app, "error": str(error)})  # noqa: TRY400


if __name__ == "__main__":
    main()
