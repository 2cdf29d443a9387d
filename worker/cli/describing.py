"""openapi: the document of the API."""

import os
import sys
from pathlib import Path

import click

import worker
from worker.adapters import process
from worker.cli.commands import Command

SECONDS = 60.0


@click.command(cls=Command)
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the API, from which clients are generated."""
    argv = [sys.executable, "-m", "webhook.describe"]  # nothing of the web's is imported here
    home = Path(worker.__file__).parent.parent  # not where the person is: Python imports from there
    click.echo(process.run(argv, cwd=home, timeout=SECONDS, env=os.environ).strip())
