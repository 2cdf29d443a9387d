"""What one run of the command line knows: the configuration, and how to answer."""

import getpass
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import click

from worker import configfile
from worker.cli import output
from worker.config import App, Config
from worker.errors import UsageError


@dataclass
class Session:
    """The options that every command has, and what follows from them."""

    config_path: str | None = None
    json: bool = False

    @cached_property
    def config(self) -> Config:
        """The configuration, read when first needed. Raises ConfigError."""
        return configfile.load(configfile.find(self.config_path, os.environ))

    def app(self, name: str) -> App:
        """Return the app of that name. Raises NotFoundError with the nearest one."""
        return configfile.app_of(self.config, name)

    def answer(self, value: Any, lines: Iterable[str]) -> None:
        """Print the result: the value as JSON if asked for, the lines otherwise."""
        if self.json:
            output.as_json(value)
            return
        for line in lines:
            output.out(line)


pass_session = click.make_pass_decorator(Session)


def person() -> str:
    """Return who types: the one behind sudo, or the login."""
    if behind := os.environ.get("SUDO_USER"):
        return behind
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an id without an entry, as in containers
        return f"uid {os.getuid()}"


def confirm(app: str, what: str, *, yes: bool) -> None:
    """Have the app's name typed. Raises UsageError for anything else."""
    if yes:
        return
    try:
        typed = click.prompt(
            f"{what}\nType {app} to go on", err=True, default="", show_default=False
        )
    except click.Abort:
        typed = ""
    if typed != app:
        raise UsageError(
            "It was not confirmed; nothing was changed.", remedy="Type it, or use --yes."
        )
