"""plan: what a deploy would do now, and why. Changes nothing."""

from typing import Any

import click

from worker.adapters.engine import Engine
from worker.cli import output, text
from worker.cli.commands import Command
from worker.cli.running import PATIENCE
from worker.cli.session import Session, pass_session, person
from worker.clock import rfc3339
from worker.configfile import redactor
from worker.deployment import Deployment, new_id
from worker.errors import BusyError, UsageError
from worker.forecast import forecast
from worker.jobs import Runner
from worker.report import cleaned
from worker.steps.attempt import Attempt


@click.command(cls=Command)
@click.argument("app")
@click.option("--revision", metavar="R", help="Not the branch's head but this one.")
@click.option("--no-pull", is_flag=True, help="The checkout's HEAD, without asking the remote.")
@click.option("--force", is_flag=True, help="As if deployed with --force.")
@pass_session
def plan(session: Session, app: str, revision: str | None, *, no_pull: bool, force: bool) -> None:
    """Show what `deploy APP` would do now, and why; nothing is changed."""
    if revision and no_pull:
        raise UsageError("--no-pull plans the checkout's HEAD.", remedy="Leave out --revision.")
    runner = Runner(session.config, session.app(app), None)
    options = {"force": force, "pull": not no_pull}
    try:
        with runner.locked(PATIENCE):
            found = forecast(_attempt(runner, revision, options))
    except BusyError as error:
        found = {"verdict": "waits", "why": error.message, "remedy": error.remedy}
    found = cleaned({"app": app, **found}, redactor(runner.app))
    session.answer(found, _lines(found))


def _attempt(runner: Runner, revision: str | None, options: dict[str, Any]) -> Attempt:
    now = runner.clock.now()
    asked = Deployment(
        id=new_id(now),
        app=runner.app.name,
        kind="deploy",
        trigger="cli",
        by=person(),
        queued_at=rfc3339(now),
        requested_revision=revision,
        options=options,
    )
    return Attempt(
        app=runner.app,
        deployment=asked,
        state=runner.state,
        clock=runner.clock,
        engine=Engine(),
        say=output.tell,
        redact=redactor(runner.app),
        others=runner.config.others(runner.app),
    )


LISTS = ("services", "files", "commits", "warnings", "would_be_kept_aside", "space")


def _lines(found: dict[str, Any]) -> list[str]:
    shown = {key: _told(value) for key, value in found.items() if key not in LISTS}
    for key in ("revision", "previous_revision", "returns_to"):
        shown[key] = text.revision(found.get(key))
    services = {key: ", ".join(names) for key, names in found.get("services", {}).items()}
    aside = found.get("would_be_kept_aside", {})
    kept = {"kept aside": ", ".join([*aside.get("commits", []), *aside.get("files", [])])}
    named = {key.replace("_", " "): value for key, value in (shown | services | kept).items()}
    lists = [(key, found.get(f"{key}s", [])) for key in ("commit", "file")]
    lists.append(("space", found.get("space", [])))
    listed = [f"{what}: {one}" for what, ones in lists for one in ones]
    return output.fields(named) + listed + [f"warning: {one}" for one in found.get("warnings", [])]


def _told(value: object) -> object:
    """Return seconds without the digits that say nothing."""
    return f"{value:g}" if isinstance(value, float) else value
