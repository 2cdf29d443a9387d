"""What of users or secrets a build would get: said, not refused.

A build runs on the exported revision, so what Git does not track is not in it but for
`build_files`. What is left, tracked uploads or a key, goes into an image that may be
pushed somewhere, and stays in its layers. Judged by what the files hold: many a
tracked `.env` is meant for everybody.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from worker.adapters import build_context
from worker.config import App
from worker.steps.attempt import Attempt
from worker.steps.mounts import is_below

NAMED = 3  # files in a sentence
LARGEST = 64 * 1024  # bytes of a file that may hold a secret
_PUBLIC = ("VITE_", "NEXT_PUBLIC_", "REACT_APP_", "NUXT_PUBLIC_", "PUBLIC_")
_SECRET = re.compile(r"^(?:export\s+)?(\w*(?:SECRET|PASSWORD|PASSWD|TOKEN|API_?KEY|PRIVATE)\w*)=\S")
_ADDRESS = re.compile(r"^(?:export\s+)?\w+=\S*://[^/\s:]+:[^@\s]+@")
_EXAMPLE = re.compile(r"\.(example|sample|template|dist)$")


def warnings(attempt: Attempt, model: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each kind of such files in each context within the work folder.

    `model` is the rendered one, whose contexts are in the work folder still.
    """
    kinds = _of_concern(attempt.app, attempt.work)
    found = []
    for (folder, dockerfile), services in _contexts(model, attempt.work).items():
        for kind, paths in kinds.items():
            below = [one for one in paths if _below(one, folder)]
            relative = {os.path.relpath(one, folder): one for one in below}
            there = build_context.sent(attempt.work / folder, dockerfile, relative)
            if there:
                found.append(_sentence(services, kind, sorted(relative[one] for one in there)))
    return found


def _sentence(services: list[str], kind: str, paths: list[str]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return (
        f"The build of {', '.join(services)} gets {kind}: {', '.join(paths[:NAMED])}{more}."
        " List them in .dockerignore, unless the image needs them."
    )


def _contexts(model: Mapping[str, Any], work: Path) -> dict[tuple[str, str], list[str]]:
    """Return (folder below the work folder, Dockerfile) -> the services built from it."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, service in (model.get("services") or {}).items():
        build = service.get("build") or {}
        context = Path(str(build.get("context") or ""))
        if build and context.is_relative_to(work):
            key = (str(context.relative_to(work)), str(build.get("dockerfile") or "Dockerfile"))
            found.setdefault(key, []).append(name)
    return found


def _of_concern(app: App, work: Path) -> dict[str, list[str]]:
    backups = app.backup.dir
    kinds: dict[str, list[str]] = {"uploads": [], "backups": [], "secrets": []}
    for path in _files(work):
        hidden = Path(path).name.startswith(".")
        if any(_below(path, folder) for folder in app.data.uploads):
            kinds["uploads"] += [] if hidden else [path]
        elif not backups.is_absolute() and _below(path, str(backups)):
            kinds["backups"] += [] if hidden else [path]
        elif path == app.env_file or _holds_a_secret(work / path):
            kinds["secrets"].append(path)
    return kinds


def _files(work: Path) -> Iterator[str]:
    for place, _, names in os.walk(work):
        for name in names:
            yield os.path.relpath(Path(place) / name, work)


def _holds_a_secret(path: Path) -> bool:
    is_env = path.name.startswith(".env") and not _EXAMPLE.search(path.name)
    is_key = path.suffix in (".pem", ".key") or path.name.startswith("id_")
    if not (is_env or is_key) or path.is_symlink() or path.stat().st_size > LARGEST:
        return False
    text = path.read_text(errors="replace")
    return "PRIVATE KEY-----" in text or (is_env and any(map(_is_secret, text.splitlines())))


def _is_secret(line: str) -> bool:
    name = _SECRET.match(line)
    return bool(name and not name[1].startswith(_PUBLIC)) or bool(_ADDRESS.match(line))


def _below(path: str, folder: str) -> bool:
    return folder == "." or is_below(path, folder)
