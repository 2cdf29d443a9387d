"""Pushes an app's backups to other places, lists what is there, and brings it home.

All of it goes on beside deployments, without the app's lock; its caller holds the slow
lock. What is pushed was read back within the last hour, or is read back first: a damaged
backup is no copy worth having.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from worker import configfile, targets, thinning
from worker.adapters import process
from worker.backups import catalogue, offsite
from worker.backups.catalogue import Backup
from worker.backups.offsite import Card, Place
from worker.clock import parse
from worker.errors import BackupError, NotFoundError, SheetanchorError, UsageError
from worker.jobs import Runner
from worker.outgoing import Outgoing
from worker.proving import Proving
from worker.targets import Target
from worker.thinning import Thinned

FRESH = timedelta(hours=1)  # since a backup was read back

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listed:
    """What one target holds of the app, or why it does not answer."""

    target: str
    cards: tuple[Card, ...] = ()
    error: SheetanchorError | None = None


@dataclass(frozen=True)
class Offsite:
    """The copies of one app."""

    runner: Runner

    def targets(self, named: str | None) -> list[Target]:
        """Return the target that is named, or all that are configured. Raises UsageError."""
        texts = (named,) if named else self.runner.app.backup.offsite
        if not texts:
            raise UsageError(
                f"apps.{self.runner.app.name}.backup.offsite is not set.",
                remedy=f"Set it in sheetanchor.toml: {targets.SHAPES}.",
            )
        try:
            return [targets.parse(text) for text in texts]
        except ValueError as error:
            known = ", ".join(self.runner.app.backup.offsite)
            raise UsageError(
                f"{error}.", remedy=f"Name one of: {known}." if known else "Write it so."
            ) from error

    def push(self, target: Target, backup: str | None = None) -> tuple[str, bool]:
        """Have the newest verified backup, or the one named, at a target.

        Return its id and whether it had to be copied. The result is recorded. Raises
        NotFoundError, UnavailableError, BackupError, ConfigError.
        """
        chosen = backup
        try:
            found = catalogue.find(self.runner.app.backup_dir, self.runner.app.name, backup)
            chosen = found.id
            copied = self._pushed(target, found)
        except SheetanchorError as error:
            self._failed(target, chosen, error)
            raise
        self._outgoing.sent(target.text, found.id)
        extra = {"app": self.runner.app.name, "target": target.text, "backup": found.id}
        log.info("backup.sent" if copied else "backup.there", extra=extra)
        self._thin(target)
        self.runner.show()
        return found.id, copied

    def thinned(self, *, dry_run: bool) -> list[Thinned]:
        """Remove, at each target, the copies that are kept no longer, or say which.

        An error for a target that is away.
        """
        found = []
        for text in self.runner.app.backup.offsite:
            try:
                place = self._place(targets.parse(text))
                found.append(thinning.thin(self.runner, place, text, dry_run=dry_run))
            except SheetanchorError as error:
                found.append(Thinned(text, error=error))
        return found

    def listed(self, named: str | None) -> list[Listed]:
        """Return what each target holds of the app, newest first; an error for one away."""
        found = []
        for target in self.targets(named):
            try:
                place = self._place(target, "offsite-list")
                cards = [card for card in place.cards() if card.app == self.runner.app.name]
                found.append(Listed(target.text, tuple(cards)))
            except SheetanchorError as error:
                found.append(Listed(target.text, error=error))
        return found

    def pull(self, backup: str | None, named: str | None) -> tuple[Path, str | None]:
        """Bring the newest copy, or the one named, into the folder of backups.

        Return its place, and the target it came from; None when it was there already.
        """
        app = self.runner.app
        listed = self.listed(named)
        card, target = _chosen(app.name, backup, listed)
        place = app.backup_dir / card.id
        if place.exists():
            return place, None
        self._end_leftovers()
        there = self._place(targets.parse(target))
        with _in_our_words():
            home = offsite.pull(there, card, app.backup_dir, self._say)
        log.info("backup.pulled", extra={"app": app.name, "target": target, "backup": card.id})
        self.runner.show()
        return home, target

    def _pushed(self, target: Target, found: Backup) -> bool:
        self._end_leftovers()
        self._read_back_if_old(found)
        with _in_our_words():
            return offsite.push(self._place(target), target, found, self._say)

    def _read_back_if_old(self, found: Backup) -> None:
        verified = found.verified_at
        if verified and self.runner.clock.now() - parse(verified) < FRESH:
            return
        for backup, read in Proving(self.runner).verify(found.id):
            if read.faults:
                raise BackupError(
                    f"The backup {backup} is damaged and was not copied: {read.damage}.",
                    remedy=f"Make another one: sheetanchor backup {self.runner.app.name}",
                )

    def _thin(self, target: Target) -> None:
        """Let old copies go; a failure of that is shown, and the new copy is good all the same."""
        if self.runner.app.backup.keep_offsite is None:
            return
        try:
            thinning.thin(self.runner, self._place(target), target.text)
        except SheetanchorError as error:
            redact = configfile.redactor(self.runner.app)
            why = f"Old copies could not be removed: {redact(error.message)}"
            self._outgoing.complained(target.text, why, redact(error.remedy))
            log.warning("offsite.not_thinned", extra={"target": target.text, "why": why})

    def _failed(self, target: Target, backup: str | None, error: SheetanchorError) -> None:
        redact = configfile.redactor(self.runner.app)
        why, remedy = redact(error.message), redact(error.remedy)
        self._outgoing.failed(target.text, backup, why, remedy)
        extra = {"app": self.runner.app.name, "target": target.text, "why": why}
        log.warning("backup.not_sent", extra=extra)
        self.runner.show()

    def _place(self, target: Target, work: str = "offsite") -> Place:
        scratch, mark = self.runner.state.scratch / "offsite", f"{work}:{self.runner.app.name}"
        return offsite.place(target, scratch, mark)

    def _end_leftovers(self) -> None:
        """End what a killed run of ours still copies: two must not write at one place."""
        process.kill_marked(f"offsite:{self.runner.app.name}")

    @property
    def _outgoing(self) -> Outgoing:
        runner = self.runner
        return Outgoing.of(runner.app, runner.state, runner.clock)

    def _say(self, line: str) -> None:
        if self.runner.screen:
            self.runner.screen.line(line)


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupError(
            f"The copy failed on this host: {error.strerror or error} ({error.filename}).",
            remedy="See that its disk has space and is healthy, then try again.",
        ) from error


def _chosen(app: str, backup: str | None, listed: Iterable[Listed]) -> tuple[Card, str]:
    """Return the copy that is wanted and its target: the newest, at the first that has it.

    Raises the error of a target that is away when no other one has it.
    """
    there = [(card, one.target) for one in listed for card in one.cards]
    wanted = [pair for pair in there if backup in (None, pair[0].id)]
    if wanted:
        return max(wanted, key=lambda pair: (pair[0].created_at, pair[0].id))
    for one in listed:
        if one.error:
            raise one.error
    ids = list(dict.fromkeys(card.id for card, _ in there))
    raise NotFoundError(
        f"No target holds {f'the backup {backup}' if backup else 'a backup'} of {app}.",
        remedy=f"Name one of: {', '.join(ids[:7])}." if ids else "Push one first.",
    )
