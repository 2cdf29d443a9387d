"""The commands by name. A command's module is imported when it is used, so that
`--help` and `history` need not wait for the clients of Docker and MongoDB.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import click

from worker.cli.session import Session

COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("serving", "Run webhook, worker and a private Redis."),
    "webhook": ("serving", "Run the web process."),
    "worker": ("serving", "Run a worker."),
    "deploy": ("deploying", "Deploy an app, here and now."),
    "plan": ("planning", "Show what a deploy would do now, and change nothing."),
    "cancel": ("cancelling", "Cancel a deployment that has not reached its fence."),
    "rollback": ("deploying", "Go back to an earlier release."),
    "rescue": ("rescuing", "Copy uploads out of a container that would be replaced; deploy."),
    "approve": ("approving", "Approve the new privileges of a refused revision; deploy it."),
    "restore": ("deploying", "Put an app's data back from a backup."),
    "backup": ("data", "Back an app's data up, now."),
    "backups": ("data", "List an app's backups."),
    "verify": ("proving", "Read an app's backups back, every byte."),
    "prune": ("pruning", "Remove the backups that retention keeps no longer."),
    "drill": ("proving", "Try a restore, beside everything that is live."),
    "offsite": ("offsite", "Copy an app's backups to other places, and back."),
    "recover": ("recover", "Bring an app back on an empty server, from a copy elsewhere."),
    "status": ("status", "Show what runs."),
    "history": ("showing", "List an app's deployments."),
    "show": ("showing", "Show one deployment, or its log."),
    "logs": ("containers", "Show what the containers wrote."),
    "stop": ("containers", "Stop an app's containers."),
    "start": ("containers", "Start an app's containers again."),
    "restart": ("containers", "Stop and start an app's containers."),
    "remove": ("containers", "Remove an app's containers and images, never its data."),
    "freeze": ("holding", "Deploy nothing by itself until unfreeze."),
    "unfreeze": ("holding", "End a freeze; what was pushed meanwhile is deployed."),
    "resume": ("holding", "Go on from inconsistent, once its cause is mended."),
    "audit": ("auditing", "Show who asked what of the API."),
    "openapi": ("describing", "Print the OpenAPI document of the API."),
    "token": ("tokens", "Create, list and revoke tokens of the API."),
}


class Command(click.Command):
    """A command that takes --config and --json too."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _shared()


class Group(click.Group):
    """A group of such commands that takes them before the command's name."""

    command_class = Command

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _shared()


class Lazy(Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names, in the order in which people meet them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, from its module."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"worker.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing one."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _shared() -> list[click.Option]:
    return [
        click.Option(
            ["--config", "config_path"],
            metavar="FILE",
            expose_value=False,
            callback=_remember,
            help="The configuration (else $SHEETANCHOR_CONFIG, ./, /etc/sheetanchor/).",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Print one JSON object on standard output.",
        ),
    ]


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value and param.name:
        setattr(ctx.ensure_object(Session), param.name, value)


@click.command(cls=Lazy)
def sheetanchor() -> None:
    """Deploy on a push; go back by itself when the new version is not healthy.

    Exits 0 when done, 1 when it failed and everything is as it was, 2 for wrong
    usage or configuration, 3 when a person is needed, 4 when busy or held.
    """
