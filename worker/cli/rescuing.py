"""rescue: copies uploads out of a container that is about to be replaced."""

from pathlib import Path

import click

from worker.adapters import layer
from worker.adapters.engine import Engine
from worker.cli import deploying, output, past
from worker.cli.commands import Command
from worker.cli.session import Session, pass_session
from worker.errors import GuardError, UsageError
from worker.journal import Journal
from worker.steps.layers import LAYERS

Layers = list[tuple[str, str, str]]


@click.command(cls=Command)
@click.argument("deployment", metavar="ID")
@pass_session
def rescue(session: Session, deployment: str) -> int:
    """Copy the uploads for which deployment ID was refused to the host, and deploy.

    They were written into a container itself. Nothing on the host is overwritten.
    What was asked for is then tried again, here and now.
    """
    shown, journal = past.with_journal(session, deployment)
    layers = _refused_for(journal, shown)
    reason = f"rescued the uploads of {shown['id']}"
    return deploying.try_again(session, journal, reason, first=lambda _: _copy(layers))


def _refused_for(journal: Journal, shown: past.View) -> Layers:
    for record in reversed(journal.records()):
        if LAYERS in record["facts"]:
            return [(container, path, place) for container, path, place in record["facts"][LAYERS]]
    raise UsageError(
        f"Deployment {shown['id']} ({shown['status']}) was not refused for uploads in a container.",
        remedy="Name one that was; `sheetanchor history APP` lists them.",
    )


def _copy(layers: Layers) -> None:
    """Copy; raise GuardError for what has the name of another file of the host."""
    others = []
    for container, path, place in layers:
        found = layer.rescue(Engine(), container, path, Path(place))
        for name in found.copied:
            output.tell(f"copied to {place}/{name}")
        others += [f"{place}/{name}" for name in found.others]
    if others:
        raise GuardError(
            f"The container has other files of these names: {', '.join(others)}.",
            remedy="Move those of the host away, or delete them; then run this again.",
        )
