"""What Compose reads of this host while it renders, and then says nothing of.

An `env_file`, a `label_file`, an included or extended Compose file: the rendered model
has their content and not their names, and root reads them. So `env_file: /etc/shadow`
would put that file into a container, unnoticed. They are looked up again here and
stored beside the model, so that a later revision can be compared with what ran.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from worker import durable
from worker.adapters import compose
from worker.adapters.compose_question import Model
from worker.config import App
from worker.errors import GuardError
from worker.release import Release
from worker.steps import lend
from worker.steps.mounts import is_below

FILE = "reads.json"
_COMPOSE_FILE = re.compile(r"^(services|include|volumes|networks):", re.MULTILINE)


@dataclass(frozen=True)
class Reads:
    """`services`: service -> key -> paths. `files`: Compose files outside the project."""

    services: Mapping[str, Mapping[str, list[str]]]
    files: list[str]

    def added_to(self, model: Mapping[str, Any]) -> Model:
        """Return the model as it would be if Compose named what it read; never to be run."""
        services = {
            name: {**service, **self.services.get(name, {})}
            for name, service in (model.get("services") or {}).items()
        }
        return {**model, "services": services}

    def store(self, folder: Path) -> None:
        """Write it beside a release's model."""
        durable.write(folder / FILE, json.dumps(asdict(self)).encode())


def of_release(release: Release, app: App) -> Reads:
    """Return what a release reads; of one without a record, what the checkout does."""
    stored = durable.read_json(release.folder / FILE)
    return Reads(**stored) if stored else of_folder(app, app.checkout)


def of_folder(app: App, top: Path) -> Reads:
    """Return what the Compose files of a folder read; what is within it as the checkout's.

    What Git does not track must stand there, as for the rendering.
    """
    try:
        there = compose.read_by_services(top, app.compose_files, app.env_path)
    except GuardError:  # a variable in the path of an `include`: then any file counts
        return Reads({}, sorted(_outside(app, top, _is_no_program)))
    services = {
        name: {key: _pointed(paths, top, app.checkout) for key, paths in keys.items()}
        for name, keys in there.items()
    }
    return Reads(services, sorted(_outside(app, top, _is_compose_file)))


def _pointed(paths: list[str], top: Path, checkout: Path) -> list[str]:
    """Return paths below the folder as ones of the checkout, others as they are."""
    whole = [os.path.normpath(top / path) for path in paths]
    return [
        str(checkout / os.path.relpath(one, top)) if is_below(one, str(top)) else one
        for one in whole
    ]


def _outside(app: App, top: Path, counts: Callable[[Path], bool]) -> set[str]:
    """Return the files outside the folder to which its Compose files lead, also by links."""
    todo, seen, found = [Path(name) for name in app.compose_files], set[Path](), set[str]()
    here = os.path.realpath(top)
    while todo:
        path = todo.pop()
        if path in seen or not (top / path).is_file():
            continue
        seen.add(path)
        for real in _named(top, path, app.env_path):
            if is_below(real, here) and _is_compose_file(Path(real)):
                todo.append(Path(os.path.relpath(real, here)))
            elif not is_below(real, here) and counts(Path(real)):
                found.add(real)
    return found


def _named(top: Path, compose_file: Path, env_file: Path | None) -> Iterator[str]:
    """Yield where each text leads that names a small file."""
    for text in lend.texts(top / compose_file, top, env_file):
        for base in (top / compose_file.parent, top):
            path = base / text
            real = os.path.realpath(path)
            if lend.is_small_file(Path(real)):
                yield real


def _is_compose_file(path: Path) -> bool:
    if path.suffix in (".yml", ".yaml"):
        return True
    return bool(_COMPOSE_FILE.search(path.read_text(errors="replace")))


def _is_no_program(path: Path) -> bool:
    return not path.stat().st_mode & 0o111
