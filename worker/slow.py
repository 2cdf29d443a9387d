"""Slow work: what takes long and must never hold up a deployment.

Reading backups back. The danger is in the locks: a deployment waits for nothing here,
so the app's lock is not taken, and a backup that is read is kept by a lock of its own
(`backups.reading`). One slow work of an app at a time, by a lock that dies with its
process. All of it can be stopped at any moment and done again.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker import lock
from worker.backups import catalogue
from worker.backups.progress import Progress
from worker.backups.reading import reading
from worker.backups.verification import Verification, read_back
from worker.clock import rfc3339
from worker.errors import BusyError, NotFoundError
from worker.jobs import Runner

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Slow:
    """The slow work of one app."""

    runner: Runner

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the app's slow work. Raises BusyError."""
        name = self.runner.app.name
        try:
            with lock.held(self.runner.state.slow_lock, name):
                yield
        except BusyError as error:
            raise BusyError(
                f"Backups of {name} are being verified, or tried in a drill, already.",
                remedy="Wait for that to end, then try again.",
            ) from error

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


def _missing(app: str, backup: str | None, there: list[Path]) -> NotFoundError:
    if not there:
        return NotFoundError(f"{app} has no backup.", remedy=f"Make one: sheetanchor backup {app}")
    names = ", ".join(path.name for path in there[:7])
    return NotFoundError(f"{app} has no backup {backup!r}.", remedy=f"Name one of: {names}.")
