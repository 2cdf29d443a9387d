"""What every command that changes something has around it: the runner and its lock."""

from collections.abc import Iterator
from contextlib import contextmanager

from worker.cli import output, past
from worker.cli.session import Session
from worker.deployment import Status
from worker.jobs import Runner
from worker.report import Screen

PATIENCE = 30.0  # seconds that a command waits for the app's lock, when no deployment runs


def runner_of(session: Session, name: str, screen: Screen) -> Runner:
    """Return the app's runner, without its lock."""
    return Runner(session.config, session.app(name), past.ledger(session), screen)


@contextmanager
def held(session: Session, name: str, screen: Screen) -> Iterator[Runner]:
    """Hold the app, finish what the dead left, do what people asked; yield its runner.

    Raises BusyError.
    """
    runner = runner_of(session, name, screen)
    with runner.locked(PATIENCE):
        for deployment, status in runner.recover():
            word = "needs a person" if status == Status.INCONSISTENT else str(status)
            output.tell(f"Deployment {deployment}, whose process had died: {word}.")
        runner.settle()
        yield runner
