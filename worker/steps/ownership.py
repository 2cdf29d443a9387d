"""Which Compose project is the app's, and that it is this checkout's alone.

The danger is a second copy of the app beside the first one, with the same data:
a project of another name, started by hand with `-p`, or configured wrongly. In one
folder there may also be projects that are not the app at all (its tools, what is
left of an old name), so the app's Compose files tell which one is meant.
"""

import os
from collections.abc import Collection, Sequence

from worker.adapters.containers import Started
from worker.adapters.engine import Engine
from worker.config import App
from worker.decisions import Decisions
from worker.errors import GuardError, NotFoundError
from worker.release import Release
from worker.state import State


def project_of(app: App, state: State, engine: Engine) -> str | None:
    """Return the Compose project: configured, the containers' own, or the running release's.

    Before what Compose would derive: a revision may bring another `name:`, which counts
    for nothing while there are containers. With it their volumes would be out of sight
    once somebody removed them.
    """
    if found := app.project or project_in_checkout(app, state, engine):
        return found
    release = running_release(state)
    return release.project if release else None


def running_release(state: State) -> Release | None:
    """Return the release that was deployed last, if it is stored still; it need not run."""
    running = Decisions(state.decisions).read()["running"] or {}
    try:
        return Release.load(state.releases, running["release"]) if running else None
    except NotFoundError:
        return None


def project_in_checkout(app: App, state: State, engine: Engine) -> str | None:
    """Return the project whose containers were started from the checkout, if any.

    Raises GuardError when it could be either of several.
    """
    found = likeliest(engine.started_in(str(app.checkout)), _files(app), str(state.releases))
    if len(found) > 1:
        raise GuardError(
            f"Several Compose projects were started from {app.checkout}: {', '.join(found)}.",
            remedy=f"Set `project` of apps.{app.name} to the one that is meant.",
        )
    return found[0] if found else None


def likeliest(started: Collection[Started], files: Collection[str], releases: str) -> Sequence[str]:
    """Return the names of the projects that are the app's, as far as one can tell.

    Best those with its Compose files (or a release's model) that run, then those
    that do not, then any that runs, then any.
    """
    ranks: dict[int, set[str]] = {}
    for one in started:
        rank = 2 * (not _is_of(one, files, releases)) + (not one.running)
        ranks.setdefault(rank, set()).add(one.project)
    return sorted(ranks[min(ranks)]) if ranks else []


def refuse_second(app: App, state: State, engine: Engine, project: str) -> None:
    """Refuse to make a project of the app while it runs under another name."""
    others = {
        one.project
        for one in engine.started_in(str(app.checkout))
        if one.running and _is_of(one, _files(app), str(state.releases))
    } - {project}
    if others:
        other = sorted(others)[0]
        raise GuardError(
            f"The app runs as the Compose project {other}, and {project} would be a second one"
            " on the same data.",
            remedy=f'Set project = "{other}" for apps.{app.name} in sheetanchor.toml; or, if it is'
            f" to be {project}, run `docker compose -p {other} stop`. Then deploy.",
        )


def _files(app: App) -> set[str]:
    return {os.path.realpath(app.checkout / name) for name in app.compose_files}


def _is_of(one: Started, files: Collection[str], releases: str) -> bool:
    return any(
        os.path.realpath(name) in files or name.startswith(f"{releases}/") for name in one.files
    )
