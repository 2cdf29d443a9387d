"""Proves that an app's backups are what they say: reads them back, tries a restore.

All of it goes on beside deployments, without the app's lock: nothing live is touched,
and a backup that is read is kept where it is (`backups.reading`). The danger is a proof
that is believed and none: what failed is recorded, and shown until the next success.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from worker import configfile
from worker.backups import catalogue, drilled, old, undone
from worker.backups.catalogue import Backup
from worker.backups.drill import Drilled, drill
from worker.backups.progress import Progress
from worker.backups.reader import Reader
from worker.backups.reading import reading
from worker.backups.scratch import Scratch
from worker.backups.source import Source
from worker.backups.verification import Verification, read_back
from worker.clock import rfc3339
from worker.errors import BackupError, DiedError, NotFoundError, SheetanchorError
from worker.jobs import Runner
from worker.requests import VERIFY
from worker.steps import data
from worker.steps.attempt import mongo_at, mongodb_uri

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Proving:
    """The proofs of one app; one at a time, so its caller holds the app's slow lock."""

    runner: Runner

    def verify(self, backup: str | None) -> list[tuple[str, Verification]]:
        """Read one backup back, or all; return each one's id and what was found.

        Raises NotFoundError, and BackupError when one cannot be read for
        a cause that is not its own.
        """
        app = self.runner.app
        there = catalogue.folders(app.backup_dir, app.name)
        theirs = [one.path for one in old.listed(app.backup_dir, app.name)]
        chosen = [path for path in (*there, *theirs) if backup in (None, path.name)]
        if not chosen:
            raise _missing(app.name, backup, there)
        reader, found = Reader(), []
        for path in chosen:
            with nullcontext() if backup else suppress(NotFoundError):  # retention was first
                one = self._read_old(path) if path in theirs else self._read_back(path, reader)
                found.append((path.name, one))
        undone.over(self.runner.state.undone, VERIFY, backup)
        self.runner.show()
        return found

    def prove(self) -> None:
        """Read every backup back, then drill: what is due by its schedule.

        Raises what the drill does, and BackupError, after that, for what was damaged.
        """
        app = self.runner.app
        there = catalogue.folders(app.backup_dir, app.name)
        read = self.verify(None) if there else []
        self.drill()
        if damaged := [one for one, found in read if found.damage]:
            raise BackupError(
                f"Of {len(read)} backups these are damaged: {', '.join(damaged)}.",
                remedy="Look into the disk's health; put a copy in each one's place, or remove it.",
            )

    def drill(self) -> Drilled:
        """Restore the newest verified backup into scratch, compare, and record the result.

        Raises what `backups.drill` does, or NotFoundError without a backup.
        """
        runner, backup = self.runner, None
        try:
            backup = catalogue.find(runner.app.backup_dir, runner.app.name)
            done = self._drilled(backup)
        except SheetanchorError as error:
            self._drill_failed(backup, error)
            raise
        drilled.passed(runner.state.drill, done, rfc3339(runner.clock.now()))
        log.info("drill.passed", extra={"app": runner.app.name, "backup": done.backup})
        runner.show()
        return done

    def give_up_drill(self, tries: int) -> None:
        """Tell that drills die; remove what the last one left, as far as that can be done."""
        died = DiedError(
            f"The process of the drill died {tries} times.",
            remedy="Look for the cause in the system's log (no memory?), then drill again.",
        )
        self._drill_failed(None, died)
        try:
            with self._source() as source:
                Scratch(source).clean()
        except (SheetanchorError, OSError) as error:
            extra = {"app": self.runner.app.name, "error": str(error)}
            log.warning("drill.left_behind", extra=extra)

    def _drilled(self, backup: Backup) -> Drilled:
        with self._source() as source:
            return drill(source, backup, self._say)

    @contextmanager
    def _source(self) -> Iterator[Source]:
        runner = self.runner
        mongo = mongo_at(runner.app, mongodb_uri(runner.app, runner.state.scratch))
        with mongo or nullcontext():
            yield data.source_of(runner.app, mongo, runner.clock)

    def _drill_failed(self, backup: Backup | None, error: SheetanchorError) -> None:
        runner, redact = self.runner, configfile.redactor(self.runner.app)
        if backup and isinstance(error, BackupError):
            with suppress(SheetanchorError):  # what it says is said already
                self._read_back(backup.path)  # so that it counts no more
        named = backup.id if backup else None
        at = rfc3339(runner.clock.now())
        why, remedy = redact(error.message), redact(error.remedy)
        drilled.failed(runner.state.drill, named, why, remedy, at)
        log.error("drill.failed", extra={"app": runner.app.name, "backup": named, "why": why})
        runner.show()

    def _read_back(self, folder: Path, reader: Reader | None = None) -> Verification:
        runner = self.runner
        progress = Progress(self._say, runner.clock, folder.name)
        with reading(folder):
            now = rfc3339(runner.clock.now())
            found = read_back(folder, runner.app.name, now, progress.file, reader)
        extra = {"app": runner.app.name, "backup": folder.name, "damage": found.damage}
        if found.damage:
            log.error("backup.damaged", extra=extra)
        else:
            log.info("backup.verified", extra=extra)
        return found

    def _read_old(self, folder: Path) -> Verification:
        """Read an older script's backup as far as it can be; nothing is written into it."""
        now, one = rfc3339(self.runner.clock.now()), old.at(folder.parent, folder.name)
        progress = Progress(self._say, self.runner.clock)
        reading_on = partial(progress.tick, lambda: f"{folder.name}: being read to its end")
        faults = old.faults(one, reading_on) if one else ["is not there any more"]
        return Verification(at=now, faults=tuple(faults), proven=False)

    def _say(self, line: str) -> None:
        if self.runner.screen:
            self.runner.screen.line(line)


def _missing(app: str, backup: str | None, there: list[Path]) -> NotFoundError:
    if not there:
        return NotFoundError(f"{app} has no backup.", remedy=f"Make one: sheetanchor backup {app}")
    names = ", ".join(path.name for path in there[:7])
    return NotFoundError(f"{app} has no backup {backup!r}.", remedy=f"Name one of: {names}.")
