"""Loads a backup into another database of the same server, for a person to look into.

The app goes on running and deployments wait for nothing: its lock is not taken, and the
backup is kept from retention by a lock of its own. But an older script's backup is first
copied into the folder of backups, and what is half made there belongs to the lock's holder,
who may remove it. The danger is another's database: see `backups.elsewhere` and
`steps.neighbours`.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext

from worker import configfile, lock
from worker.backups import adopt, old
from worker.backups.elsewhere import refuse_name
from worker.backups.reading import reading
from worker.backups.restore import RestoreResult, restore
from worker.backups.source import Source
from worker.errors import BusyError, UsageError
from worker.jobs import Runner
from worker.redact import redacted
from worker.steps import neighbours
from worker.steps.attempt import mongo_at, mongodb_uri

PATIENCE = 2.0  # seconds: a look at the remote holds the app's lock for a moment


def load(runner: Runner, backup: str | None, database: str) -> RestoreResult:
    """Load a backup's one database into another. Raises UsageError before anything is made."""
    refuse_name(database)
    app, redact = runner.app, configfile.redactor(runner.app)

    def say(line: str) -> None:
        if runner.screen:
            runner.screen.line(redacted(line, redact))

    uri = mongodb_uri(app, runner.state.scratch)
    mongo = mongo_at(app, uri)
    if uri is None or mongo is None:
        raise UsageError(f"{app.name} has no data.mongodb.", remedy="Leave out --to-database.")
    target = Source(app=app, mongo=mongo, clock=runner.clock)
    with mongo, _alone(runner):
        is_old = old.at(app.backup_dir, backup) is not None
        with runner.locked(PATIENCE) if is_old else nullcontext():
            found = adopt.chosen(target, backup, say)
        others = runner.config.others(app)
        neighbours.judge_name(uri, database, mongo, others=others, state=runner.state, say=say)
        with reading(found.path):
            return restore(target, found, to_database=database, report=say)


@contextmanager
def _alone(runner: Runner) -> Iterator[None]:
    """Hold such loads of the app: each one removes what a killed one left."""
    name = runner.app.name
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.held(runner.state.home / "elsewhere.lock", name))
        except BusyError as error:
            raise BusyError(
                f"A backup of {name} is being loaded into another database already.",
                remedy="Wait for that to end, then try again.",
            ) from error
        yield
