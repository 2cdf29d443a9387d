"""status: what runs, whether it is held, how its containers are."""

from dataclasses import asdict
from typing import Any

import click

from worker import aftermath, asides, operations
from worker.abandoned import abandoned
from worker.adapters.containers import Container
from worker.adapters.engine import Engine
from worker.backups import old
from worker.cli import output, past, text
from worker.cli.commands import Command
from worker.cli.session import Session, pass_session
from worker.clock import SystemClock
from worker.config import App
from worker.errors import CommandError, FullError, StepError, UnavailableError
from worker.ledger import Ledger
from worker.requests import Requests
from worker.reserve import judge_disk
from worker.state import State


@click.command(cls=Command)
@click.argument("app", required=False)
@pass_session
def status(session: Session, app: str | None) -> None:
    """Show what runs of APP, or of each app."""
    wanted = [session.app(app)] if app else list(session.config.apps.values())
    ledger = past.ledger(session)
    found = [_of(session, one, ledger) for one in wanted]
    apps = session.config.server.state_dir / "apps"
    for left in abandoned(apps, session.config.apps, SystemClock()):
        output.tell(f"warning: {left}")
    lines = [line for one in found for line in (*text.app(one), "")]
    session.answer(found[0] if app else {"apps": found}, lines[:-1])


def _of(session: Session, app: App, ledger: Ledger | None) -> dict[str, Any]:
    state = State.of(session.config, app)
    _tell_full(state)
    backups = [one.summary() for one in old.everything(app.backup_dir, app.name)]
    last = past.deployments(session, app, ledger, 1)
    return {
        **aftermath.summary(app, state, backups),
        "set_aside": _set_aside(app, state),
        "requests": [asdict(one) for one in Requests(state.requests).all()],
        "last_deployment": last[0] if last else None,
        "containers": _containers(app, state),
    }


def _tell_full(state: State) -> None:
    try:
        judge_disk(state.home)
    except FullError as error:
        output.tell(f"warning: {error}")


def _containers(app: App, state: State) -> list[dict[str, Any]] | None:
    """Return the containers; None, and a warning, when they cannot be told."""
    try:
        return [shown(one) for one in operations.containers(app, state, Engine())]
    except (UnavailableError, StepError) as error:
        output.tell(f"warning: {error}")
        return None


def _set_aside(app: App, state: State) -> list[dict[str, Any]]:
    """Return where a person's work is that a deployment took out of the checkout."""
    try:
        found = asides.found(app, state, SystemClock())
    except CommandError as error:
        output.tell(f"warning: {error}")
        return []
    return [
        {"ref": one.ref, "deployment": one.deployment, "holds": list(one.holds)}
        for one in found
        if one.lost_without
    ]


def shown(one: Container) -> dict[str, Any]:
    """Return what people see of a container."""
    return {
        "name": one.name,
        "service": one.service,
        "status": one.status,
        "health": one.health,
        "image": one.image_name,
        "restarts": one.restarts,
        "started_at": one.started_at,
    }
