"""Brings an app back on an empty server: its code, and its data from a copy elsewhere.

The danger is a server that is not empty: what is there is never overwritten, so each place
is looked at before it is written to, and a person decides. Until the data is back nothing
may be deployed by itself, or the app would begin with an empty database: so the app is held
first. A fsynced record says how far this came; killed at any point, the same command goes
on from there, and each part of it can be done twice. The caller holds the app's lock.
"""

import json
import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace

from worker import durable
from worker.adapters.git import Checkout
from worker.adapters.mongo import Mongo
from worker.backups import catalogue
from worker.backups.catalogue import Backup
from worker.backups.difference import config_change
from worker.backups.restore import restore
from worker.backups.source import Source
from worker.clock import rfc3339
from worker.decisions import Decisions
from worker.errors import UsageError
from worker.jobs import Runner
from worker.offsite import Offsite
from worker.slow import Slow
from worker.steps import data
from worker.steps.attempt import mongo_at, mongodb_uri

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far it came. `writing`: data was begun to be put back, so what is there is ours."""

    backup: str | None = None
    writing: bool = False
    restored: bool = False


@dataclass(frozen=True)
class Rebuilding:
    """The recovery of one app. `tell` shows a person what was done."""

    runner: Runner
    by: str
    tell: Callable[[str], None]

    def bring_back(self, target: str) -> None:
        """Do all but the deployment. Raises UsageError, before anything is overwritten."""
        Offsite(self.runner).targets(target)  # or the text is wrong
        self._refuse_what_ran()
        progress = self._progress()
        if progress.restored:
            self.tell(f"The data of backup {progress.backup} is back already")
            return
        self._hold()
        self._clone()
        if not progress.writing:
            self._refuse_uploads()
        found = self._fetched(progress, target)
        self._put_config_back(found)
        self._put_data_back(found)

    def ended(self) -> None:
        """Forget how far it came: the app runs."""
        self.runner.state.rebuilding.unlink(missing_ok=True)

    def _refuse_what_ran(self) -> None:
        app = self.runner.app
        if running := self.runner.decisions.read()["running"]:
            self.ended()
            raise UsageError(
                f"{app.name} runs on this server since {running['since']}.",
                remedy=f"Fetch the copy (sheetanchor offsite pull {app.name}), then"
                f" `sheetanchor restore {app.name}`.",
            )

    def _hold(self) -> None:
        """Have nothing deployed by itself meanwhile; the deployment at the end lifts it."""
        runner = self.runner
        head = self._checkout.ask_head()
        reason = "it is being recovered; run `sheetanchor recover` again if that was interrupted"
        now = rfc3339(runner.clock.now())
        Decisions(runner.state.decisions).hold(
            "stopped", by=self.by, at=now, reason=reason, head=head
        )

    @property
    def _checkout(self) -> Checkout:
        app = self.runner.app
        return Checkout(app.checkout, app.branch, app.clone_url)

    def _clone(self) -> None:
        if self._checkout.exists():
            self.tell(f"The checkout {self.runner.app.checkout} is there")
            return
        self._checkout.clone()
        self.tell(f"Cloned {self.runner.app.branch} into {self.runner.app.checkout}")

    def _refuse_uploads(self) -> None:
        app = self.runner.app
        tracked = {*self._checkout.tracked("HEAD", app.data.uploads)}
        for path in app.upload_paths:
            files = (one for one in path.rglob("*") if one.is_symlink() or not one.is_dir())
            for one in files:
                if str(one.relative_to(app.checkout)) not in tracked:
                    raise self._not_empty(f"{one} is there")

    def _fetched(self, progress: Progress, target: str) -> Backup:
        app = self.runner.app
        with Slow(self.runner).alone():
            place, source = Offsite(self.runner).pull(progress.backup, target)
        self._note(replace(progress, backup=place.name))
        came = f"was fetched from {source} and read back" if source else "is here"
        self.tell(f"Backup {place.name} {came}")
        return catalogue.find(app.backup_dir, app.name, place.name)

    def _put_config_back(self, found: Backup) -> None:
        source = self._source(found, None)
        kept = found.manifest().files_by_path()
        for stored, path in source.stored_config().items():
            there = stored in kept and path.exists()
            if there and config_change(path, kept[stored]) == "changed":
                raise self._not_empty(f"{path} is there, and is another than the backup's")
        done = restore(source, found, only="env", report=self._say)
        for change in done.difference.config:
            self.tell(f"Put back {change.path.removeprefix('config/')}")

    def _put_data_back(self, found: Backup) -> None:
        runner = self.runner
        mongo = mongo_at(runner.app, mongodb_uri(runner.app, runner.state.scratch))
        with mongo or nullcontext():
            if mongo and not self._progress().writing:
                self._refuse_databases(mongo)
            self._note(replace(self._progress(), writing=True))
            done = restore(self._source(found, mongo), found, report=self._say)
        self._note(replace(self._progress(), restored=True))
        log.info("data.recovered", extra={"app": runner.app.name, "backup": found.id})
        for line in (done.summary(), *done.warnings):
            self.tell(line)

    def _refuse_databases(self, mongo: Mongo) -> None:
        for database in mongo.databases:
            if there := mongo.collections(database):
                names = ", ".join(one.name for one in there[:5])
                raise self._not_empty(f"the database {database} has {names}")

    def _not_empty(self, what: str) -> UsageError:
        app = self.runner.app.name
        return UsageError(
            f"This server is not empty: {what}. Nothing was overwritten.",
            remedy=f"Move it away and run this again; or deploy, then `sheetanchor restore {app}`.",
        )

    def _source(self, found: Backup, mongo: Mongo | None) -> Source:
        app = self.runner.app
        lost = data.lost(app, found)
        config = tuple(dict.fromkeys([*data.config_files(app), *lost]))
        return Source(app=app, mongo=mongo, clock=self.runner.clock, config_files=config)

    def _progress(self) -> Progress:
        found = durable.read_or_set_aside(self.runner.state.rebuilding, _parsed)
        return found or Progress()

    def _note(self, progress: Progress) -> None:
        durable.write(self.runner.state.rebuilding, json.dumps(asdict(progress)).encode())

    def _say(self, line: str) -> None:
        if self.runner.screen:
            self.runner.screen.line(line)


def _parsed(text: str) -> Progress:
    return Progress(**json.loads(text))
