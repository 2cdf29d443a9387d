"""token: who may use the API."""

import click

from worker.cli import output
from worker.cli.commands import Group
from worker.cli.session import Session, pass_session
from worker.tokens import Role, Tokens


@click.group(cls=Group)
def token() -> None:
    """Create, list and revoke tokens of the API."""


@token.command()
@click.argument("name")
@click.option("--role", required=True, type=click.Choice([str(role) for role in Role]))
@pass_session
def create(session: Session, name: str, role: str) -> None:
    """Create a token and print it on the last line: the only time that anyone sees it."""
    made = Tokens(session.config.server.state_dir).create(name, role)
    said = f"Token {name} ({role}). It is shown only now:"
    session.answer({"name": name, "role": role, "token": made}, [said, made])


@token.command(name="list")
@pass_session
def list_tokens(session: Session) -> None:
    """List the tokens, without their secrets."""
    known = Tokens(session.config.server.state_dir).list()
    shown = [{"name": one.name, "role": one.role, "created_at": one.created_at} for one in known]
    session.answer({"tokens": shown}, output.table([tuple(one.values()) for one in shown]))


@token.command()
@click.argument("name")
@pass_session
def revoke(session: Session, name: str) -> None:
    """Revoke a token; it is refused from now on."""
    Tokens(session.config.server.state_dir).revoke(name)
    session.answer({"name": name, "revoked": True}, [f"Token {name} is revoked."])
