"""Whether what is backed up is the database that the running release writes to.

A container keeps the address that it was given when it was made. The danger is an
env file that a person edits before a push: backups and the tripwire follow the
file to another database, while what runs still writes to the old one. The backup
would be whole, verified, and of the wrong data.

Compared are one variable of one service before and after, never the app's address
with the containers': a MongoDB within the project has another name there than here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.adapters import compose
from worker.adapters.containers import Container
from worker.adapters.engine import Engine
from worker.adapters.mongo_address import HERE, Address
from worker.config import App
from worker.errors import CommandError, GuardError
from worker.steps.attempt import Attempt

Addresses = dict[tuple[str, str], Address]  # (service, variable)


@dataclass(frozen=True)
class Moved:
    """A variable of a service that leads to another database than in its container."""

    service: str
    variable: str
    before: Address
    after: Address


def judge(
    app: App, engine: Engine, project: str, containers: Sequence[Container], uri: str | None
) -> None:
    """Refuse when the env file names another database than what runs was given.

    `uri` is what `data.mongodb` names now. Raises GuardError with both addresses.
    """
    if uri is None or not (app.data.mongodb or "").startswith("env_file:"):
        return
    named, running = Address.of(uri, app.data.databases), _running(engine, containers)
    if named is None or not running or any(map(named.same, running.values())):
        return
    try:
        now = compose.render(app.checkout, app.compose_files, app.env_path, project)
    except (CommandError, GuardError):
        return  # nothing can be deployed or restored with it either; its error says more
    if moved := next(_moved(running, in_model(now)), None):
        raise GuardError(
            f"The env file {app.env_file} names the database {moved.after} ({moved.variable}), but"
            f" service {moved.service}, as it runs, writes to {moved.before}, so the backup would"
            " be of the wrong one.",
            remedy=f"Write the old address into the env file again. Or, with the data in"
            f" {moved.after}, run `{compose.by_hand(app, project)}`, then deploy.",
        )


def judge_place(app: App, containers: Sequence[Container], uri: str) -> None:
    """Refuse when a container of the app itself is the database's server.

    The fence would stop it: there would be nothing to back up, nor, on a way back, to
    restore into.
    """
    named = Address.of(uri)
    for one in containers if named else ():
        places = {f"{HERE}:{port}" for port in one.published}
        if named and (named.servers & places or {*map(_host, named.servers)} & {*one.ips}):
            raise GuardError(
                f"MongoDB at {', '.join(sorted(named.servers))} is container {one.name} of the"
                f" app's own project {one.project}, which a deployment stops; so it could be"
                " neither backed up nor restored.",
                remedy=f"Run service {one.service} as a Compose project of its own, in another"
                f" folder, with the same volume (`external: true`) and port: `docker rm -f"
                f" {one.name}`, bring that project up, take the service out of {app.name}'s Compose"
                " file, let the app reach it by host.docker.internal, and push.",
            )


def _host(server: str) -> str:
    return server.rpartition(":")[0]


def doubts(attempt: Attempt, containers: Sequence[Container]) -> list[str]:
    """Return a warning when `data.mongodb` names a database of its own beside the app's.

    For an address that is kept apart from the app's env file, which a person may mend
    in one place only. Whether it is wrong cannot be told: a program can choose its
    database by other means than the address it is given.
    """
    app = attempt.app
    if app.data.databases or (app.data.mongodb or "env_file:").startswith("env_file:"):
        return []
    named = Address.of(attempt.mongodb_uri or "")
    running = _running(attempt.engine, containers)
    if named is None or any(map(named.same, running.values())):
        return []
    return [
        f"apps.{app.name}.data.mongodb names {named}, but {variable} of service {service}, as it"
        f" runs, names {address}: the backups may be of the wrong database."
        for (service, variable), address in running.items()
        if named.servers & address.servers
    ]


def judge_model(attempt: Attempt, model: Mapping[str, Any]) -> None:
    """Refuse a revision whose services write to another database than what runs.

    The way back restores only what was backed up, and every later backup would be of
    what nobody writes to any more.
    """
    uri = attempt.mongodb_uri
    running = _running(attempt.engine, attempt.containers)
    named = Address.of(uri, attempt.app.data.databases) if uri else None
    if named is None:
        return
    ours = {key: one for key, one in running.items() if named.same(one)} or running
    if moved := next(_moved(ours, in_model(model)), None):
        raise GuardError(
            f"In the revision, {moved.variable} of service {moved.service} names the database"
            f" {moved.after}; what runs writes to {moved.before}, of which the backups are.",
            remedy="Keep the address in the Compose files, and push. To change it, write the new"
            " one into the env file: that refusal says how the data moves along.",
        )


def in_model(model: Mapping[str, Any]) -> Addresses:
    """Return the MongoDB addresses in the environments of a rendered model's services."""
    services = model.get("services") or {}
    return _found(
        (name, variable, str(value).replace("$$", "$"))
        for name, service in services.items()
        for variable, value in (service.get("environment") or {}).items()
        if value is not None
    )


def _running(engine: Engine, containers: Sequence[Container]) -> Addresses:
    return _found(
        (one.service, variable, value)
        for one in containers
        for variable, value in engine.environment(one.id).items()
    )


def _found(values: Iterator[tuple[str, str, str]]) -> Addresses:
    found = ((service, name, Address.of(value)) for service, name, value in values)
    return {(service, name): address for service, name, address in found if address}


def _moved(before: Addresses, after: Addresses) -> Iterator[Moved]:
    for key, address in before.items():
        now = after.get(key)
        if now and not now.same(address):
            yield Moved(*key, address, now)
