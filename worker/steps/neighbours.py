"""Who else has a claim on what this app uses: another folder, or another app.

The danger is two owners of one thing. A second folder's `up` replaces this one's
containers and mounts its own data; a restore of one app takes another's database
back in time. What of this the configuration alone shows is refused when it is read.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from worker.abandoned import abandoned
from worker.adapters import compose
from worker.adapters.containers import Container
from worker.adapters.mongo_address import Address
from worker.config import App
from worker.errors import CommandError, GuardError, UnavailableError, UsageError
from worker.state import State
from worker.steps.attempt import Attempt, mongo_at, mongodb_uri

if TYPE_CHECKING:
    from worker.adapters.mongo import Mongo

Say = Callable[[str], object]


def foreign(containers: Iterable[Container], checkout: Path) -> Iterator[Container]:
    """Yield the containers that were started from another folder than the checkout."""
    here = os.path.realpath(checkout)
    for one in containers:
        if one.working_dir and os.path.realpath(one.working_dir) != here:
            yield one


def judge_project(attempt: Attempt, project: str, containers: Iterable[Container]) -> None:
    """Refuse when another folder owns the Compose project: its data lies elsewhere."""
    app = attempt.app
    one = next(foreign(containers, app.checkout), None)
    if one is None:
        return
    folder, free = one.working_dir, app.name if app.name != project else f"{app.name}-own"
    apart = f'set `project = "{free}"` in [apps.{app.name}]'
    owner = _app_of(attempt.others, folder)
    whose = f", which is apps.{owner.name}.checkout" if owner else ""
    remedy = f"If it is another app, {apart}."
    if not owner:
        remedy += (
            f" If this app moved from there, data and all, run `{compose.by_hand(app, project)}`."
        )
        if Path(folder).is_dir():
            remedy += f' If this app lives there, set `checkout = "{folder}"`.'
    raise GuardError(
        f"Container {one.name} of the project {project} (apps.{app.name}.project) was started"
        f" from {folder}{whose}, not from {app.checkout}.",
        remedy=f"{remedy} Then deploy.",
    )


def judge_abandoned(attempt: Attempt, project: str) -> None:
    """Refuse what another app, that is not configured any more, left in the middle."""
    known = {attempt.app.name, *(one.name for one in attempt.others)}
    for one in abandoned(attempt.state.home.parent, known, attempt.clock):
        if one.project == project:
            raise GuardError(
                f"The Compose project {project} was the one of {one.app}, which is not in"
                f" sheetanchor.toml any more, and {one.what}.",
                remedy=f"Name it [apps.{one.app}] again, as it was, have that brought to its end,"
                " and then give it the new name.",
            )


def _app_of(apps: Iterable[App], folder: str) -> App | None:
    real = os.path.realpath(folder)
    return next((one for one in apps if os.path.realpath(one.checkout) == real), None)


def judge_database(attempt: Attempt) -> None:
    """Refuse when another app of the configuration keeps its data in the same database.

    An app whose address cannot be read is passed over: its own deployment says why.
    """
    uri, app = attempt.mongodb_uri, attempt.app
    mine = Address.of(uri, app.data.databases) if uri else None
    if mine is None:
        return
    for other, shared in _sharing(mine, attempt.mongo, attempt.others, attempt.state, attempt.say):
        raise GuardError(
            f"The database {', '.join(sorted(shared))} is named by apps.{app.name}.data.mongodb"
            f" ({mine}) and by apps.{other.name}.data.mongodb as well: a restore of one would"
            " take the other's data back.",
            remedy="Give one of them a database of its own, or leave data.mongodb out of the"
            " app that only reads it.",
        )


def judge_name(
    uri: str, database: str, mongo: "Mongo", *, others: Iterable[App], state: State, say: Say
) -> None:
    """Refuse to load a backup into a database that another app's `data.mongodb` names."""
    place = Address.of(uri, (database,))
    for other, _ in _sharing(place, mongo, others, state, say) if place else ():
        raise UsageError(
            f"The database {database} is the one of {other.name} (apps.{other.name}.data.mongodb).",
            remedy="Name one that no app uses.",
        )


def _sharing(
    mine: Address, mongo: "Mongo | None", others: Iterable[App], state: State, say: Say
) -> Iterator[tuple[App, frozenset[str]]]:
    """Yield the other apps that name one of these databases, and which."""
    for other in others:
        try:
            theirs = mongodb_uri(other, state.scratch)
            shared = _shared(mongo, mine, other, theirs) if theirs else None
        except (GuardError, CommandError, UnavailableError) as error:
            say(f"not compared with the databases of {other.name}: {error.message}")
            continue
        if shared:
            yield other, shared


def _shared(mongo: "Mongo | None", mine: Address, other: App, uri: str) -> frozenset[str]:
    """Return the databases that are the same ones; servers are asked who they are."""
    theirs = Address.of(uri, other.data.databases)
    names = mine.databases & theirs.databases if theirs else frozenset[str]()
    if not theirs or not names or mine.servers & theirs.servers:
        return names
    there = mongo_at(other, uri)
    return names if _one_server(mongo, there) else frozenset()


def _one_server(one: "Mongo | None", other: "Mongo | None") -> bool:
    if one is None or other is None:
        return False
    with other:
        here, there = one.server().process, other.server().process
    return bool(here) and here == there
