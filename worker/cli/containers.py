"""logs, stop, start, restart, remove: the containers of an app."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from worker import operations
from worker.adapters.containers import Container
from worker.adapters.engine import Engine
from worker.cli import following, running, text
from worker.cli.commands import Command
from worker.cli.interrupt import Interrupt
from worker.cli.screen import Lines
from worker.cli.session import Session, confirm, pass_session, person
from worker.cli.status import shown
from worker.config import App
from worker.configfile import redactor
from worker.errors import UsageError
from worker.operations import Operations, Removed
from worker.state import State


@click.command(cls=Command)
@click.argument("app")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--tail", type=click.IntRange(min=0), default=200, show_default=True, help="Lines.")
@pass_session
def logs(session: Session, app: str, tail: int, *, follow: bool) -> None:
    """Show what APP's containers wrote, secrets left out."""
    if follow and session.json:
        raise UsageError("--json prints one object.", remedy="Leave out --follow.")
    found, engine = session.app(app), Engine()
    there = operations.containers(found, State.of(session.config, found), engine)
    redact = redactor(found)
    if follow:
        following.follow(engine, there, tail, redact)
        return
    wrote = [
        {"container": one.name, "line": line}
        for one in there
        for line in following.written(engine, one, tail, redact)
    ]
    session.answer({"logs": wrote}, (f"{one['container']} | {one['line']}" for one in wrote))


@click.command(cls=Command)
@click.argument("app")
@pass_session
def stop(session: Session, app: str) -> None:
    """Stop APP's containers. It is not deployed by itself until a newer head arrives."""
    _act(session, app, Operations.stop)


@click.command(cls=Command)
@click.argument("app")
@pass_session
def start(session: Session, app: str) -> None:
    """Start APP's running release again; ends the hold of a stop."""
    _act(session, app, Operations.start)


@click.command(cls=Command)
@click.argument("app")
@pass_session
def restart(session: Session, app: str) -> None:
    """Stop and start APP's containers."""
    _act(session, app, Operations.restart)


@click.command(cls=Command)
@click.argument("app")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def remove(session: Session, app: str, *, yes: bool) -> None:
    """Remove APP's containers and images, by name. Never volumes, never data."""
    found = session.app(app)
    confirm(app, f"This removes the containers and images of {app}.", yes=yes)
    others = [one for one in session.config.apps.values() if one is not found]
    spared = {
        name for one in others for name in operations.image_names(State.of(session.config, one))
    }
    with _operating(session, app) as does:
        removed = does.remove(spared)
    left = _left(found, removed)
    value = {"app": app, "containers": removed.containers, "images": removed.images, "left": left}
    gone = [*removed.containers, *removed.images]
    lines = [f"removed {name}" for name in gone] + [f"left {what}" for what in left]
    session.answer(value, lines)


def _act(session: Session, name: str, act: Callable[[Operations], list[Container]]) -> None:
    """Do it, and show the containers and the hold that it left."""
    with _operating(session, name) as does:
        there = [shown(one) for one in act(does)]
        hold = does.decisions.read()["hold"]
    session.answer({"app": name, "containers": there, "hold": hold}, text.containers(there))


@contextmanager
def _operating(session: Session, name: str) -> Iterator[Operations]:
    """Hold the app meanwhile; afterwards show the others what became of it."""
    screen = Lines()
    with Interrupt(screen) as interrupt, running.held(session, name, interrupt) as runner:
        state, clock = runner.state, runner.clock
        interrupt.arm()
        yield Operations(runner.app, state, Engine(), clock, person(), screen.line)
        runner.show()


def _left(app: App, removed: Removed) -> list[str]:
    """Return what the removal did not touch, for the person to know."""
    left = [f"uploads {path}" for path in app.upload_paths]
    left += ["the databases of data.mongodb"] if app.data.mongodb else []
    left += [f"volume {name}" for name in removed.volumes]
    return [*left, f"backups {app.backup_dir}", f"checkout {app.checkout}"]
