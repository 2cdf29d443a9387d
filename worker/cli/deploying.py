"""deploy, rollback, restore: in this process, under the app's lock."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from worker import elsewhere
from worker.backups import old
from worker.cli import output, running, screen, text
from worker.cli.commands import Command
from worker.cli.interrupt import Interrupt
from worker.cli.session import Session, confirm, pass_session, person
from worker.clock import rfc3339
from worker.config import App
from worker.configfile import redactor
from worker.decisions import UNTIL_ENDED, Decisions
from worker.deployment import Deployment, Status, new_id, view
from worker.errors import NotFoundError, SheetanchorError, UsageError
from worker.jobs import Runner
from worker.journal import Journal
from worker.release import Release
from worker.report import cleaned
from worker.state import State

Options = Mapping[str, Any]


@click.command(cls=Command)
@click.argument("app")
@click.option("--revision", metavar="R", help="Not the branch's head but this one, and stay on it.")
@click.option("--no-pull", is_flag=True, help="The checkout's HEAD, without asking the remote.")
@click.option("--force", is_flag=True, help="Also when held, and whatever the tripwire says.")
@click.option("--reason", metavar="TEXT", help="Why, for the history.")
@pass_session
def deploy(
    session: Session,
    app: str,
    revision: str | None,
    reason: str | None,
    *,
    no_pull: bool,
    force: bool,
) -> int:
    """Deploy APP here and now: the branch's head, or the revision named.

    Backs up, builds, switches and checks; goes back by itself when the new
    version is not healthy. Ctrl-C cancels, or goes back.
    """
    if revision and no_pull:
        raise UsageError("--no-pull deploys the checkout's HEAD.", remedy="Leave out --revision.")
    options = {"force": force, "pull": not no_pull}
    asked = {"requested_revision": revision, "reason": reason}
    return carry_out(session, app, "deploy", options, asked)


@click.command(cls=Command)
@click.argument("app")
@click.option("--to", metavar="ID", help="The deployment to go back to; else what ran before.")
@click.option("--data", type=click.Choice(["keep", "restore"]), default="keep", show_default=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def rollback(session: Session, app: str, to: str | None, data: str, *, yes: bool) -> int:
    """Bring an earlier release of APP back into service.

    The data stays as it is. With `--data restore` it becomes what it was just
    before the release that is left came; what was written since is set aside in
    a safety backup.
    """
    found = session.app(app)
    _there_is_such_a_release(found, State.of(session.config, found), to)
    if data == "restore":
        confirm(app, f"This also puts the data of {app} back to before that release.", yes=yes)
    return carry_out(session, app, "rollback", {"to": to, "data": data}, {})


@click.command(cls=Command)
@click.argument("app")
@click.argument("backup", required=False, metavar="[ID]")
@click.option("--only", type=click.Choice(["mongodb", "uploads", "env"]), help="Only this.")
@click.option("--to-database", metavar="NAME", help="Into another database; the app runs on.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def restore(
    session: Session,
    app: str,
    backup: str | None,
    only: str | None,
    to_database: str | None,
    *,
    yes: bool,
) -> int:
    """Put APP's data back from a backup: the newest verified, or the one named.

    The app is stopped meanwhile; what is there now is set aside in a safety
    backup first. With `--to-database` nothing live is touched: the backup's
    database is loaded into that new one, for you to look into.
    """
    if to_database is not None:
        return _load_elsewhere(session, app, backup, only, to_database)
    found = old.find(session.app(app).backup_dir, app, backup)
    what = f"This replaces {only or 'the data'} of {app} by backup {found.id} ({found.kind})."
    confirm(app, what, yes=yes)
    return carry_out(session, app, "restore", {"backup": found.id, "only": only}, {})


def _load_elsewhere(
    session: Session, app: str, backup: str | None, only: str | None, database: str
) -> int:
    if only not in (None, "mongodb"):
        raise UsageError(
            f"Only MongoDB can be loaded into another database, not {only}.",
            remedy="Leave out --only.",
        )
    with screen.opened() as shown:
        runner = Runner(session.config, session.app(app), None, shown)
        done = elsewhere.load(runner, backup, database)
    loaded = [change.name for change in done.difference.collections]
    value = {"backup": done.backup, "to_database": database, "collections": loaded}
    session.answer(value, [done.summary()])
    return output.DONE


def _there_is_such_a_release(app: App, state: State, to: str | None) -> None:
    """Raise UsageError or NotFoundError before anything is begun."""
    now = Decisions(state.decisions).read()["running"] or {}
    wanted = to or now.get("previous_release")
    if wanted is None:
        raise UsageError(
            f"There is no earlier release of {app.name} to roll back to.",
            remedy="Name one with --to; `sheetanchor history` lists them.",
        )
    Release.load(state.releases, wanted)


def carry_out(
    session: Session,
    name: str,
    kind: str,
    options: Options,
    asked: Options,
    *,
    first: Callable[[Runner], None] = lambda _: None,
) -> int:
    """Run one deployment to its end, show how it ended, and return the exit code.

    `first` is done under the same lock, before.
    """
    with (
        screen.opened() as shown,
        Interrupt(shown) as interrupt,
        running.held(session, name, interrupt) as runner,
    ):
        first(runner)
        now = runner.clock.now()
        deployment = Deployment(
            id=new_id(now),
            app=name,
            kind=kind,
            trigger="cli",
            by=person(),
            queued_at=rfc3339(now),
            options=options,
            **asked,
        )
        interrupt.arm()
        status = _run(runner, deployment)
    ended = view(deployment, Journal(_path(runner, deployment), runner.clock).records())
    ended = cleaned(ended, redactor(runner.app))
    for line in text.summary(ended):
        output.tell(line)
    session.answer(ended, ())
    return output.BUSY if _was_held(runner, status) else output.code_of(status)


def try_again(
    session: Session, journal: Journal, reason: str, *, first: Callable[[Runner], None]
) -> int:
    """Do what a refused deployment was asked for; of a push, bring the branch's head."""
    refused = journal.deployment()
    if refused is None:
        raise NotFoundError(f"{journal.path} is empty.", remedy="Deploy again.")
    asked = {"requested_revision": refused.wanted, "reason": reason}
    return carry_out(session, refused.app, refused.kind, refused.options, asked, first=first)


def _run(runner: Runner, deployment: Deployment) -> Status:
    """Run it. Raises UnfinishedError when it ended without an end in its journal."""
    try:
        return runner.run(deployment)
    except (SheetanchorError, OSError, KeyboardInterrupt) as error:
        journal = Journal(_path(runner, deployment), runner.clock)
        begun = any(record["event"] == "intent" for record in journal.records())
        if not begun or journal.ended():
            raise
        raise output.UnfinishedError(
            f"Deployment {deployment.id} was left in the middle: {error or 'interrupted'}.",
            remedy="A worker brings it to its end, and so does the next command for this app.",
        ) from error


def _path(runner: Runner, deployment: Deployment) -> Any:
    return runner.state.journals / f"{deployment.id}.jsonl"


def _was_held(runner: Runner, status: Status) -> bool:
    """Whether a hold is why it was skipped: of a person's, only such holds are."""
    hold = Decisions(runner.state.decisions).read()["hold"]
    return status == Status.SKIPPED and bool(hold) and hold["kind"] in UNTIL_ENDED
