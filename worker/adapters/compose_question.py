"""Asks Compose how it reads things, so that nobody has to guess its rules."""

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worker.adapters import compose_command, compose_plain
from worker.errors import CommandError, GuardError

RENDER = 60.0  # seconds

Model = dict[str, Any]


def config(argv: Sequence[str], directory: Path, mark: str | None) -> Model:
    """Return the model of the files in a folder; say in Compose's words what it refuses."""
    try:
        return _model(compose_command.run(argv, directory, RENDER, mark=mark))
    except CommandError as error:
        said = error.tail.replace(f"{directory}/", "").strip()
        if "failed to read" in said:  # of an env file Compose quotes the line, secret and all
            without_it = said.partition('"')[0].strip()
            raise GuardError(
                f"Compose could not read an env file: {without_it}.", remedy="Mend that line."
            ) from None
        raise GuardError(
            f"Compose could not read the Compose files: {said or error.message}",
            remedy="Mend them and push; `docker compose config` shows what Compose reads.",
        ) from error


def _model(text: str) -> Model:
    try:
        model: Model = json.loads(text)
    except ValueError as error:
        raise CommandError(["docker-compose", "config"], "printed no JSON", text[-500:]) from error
    return model


def variable(name: str, directory: Path, env_file: Path | None) -> str | None:
    """Return a variable as Compose reads it for a project directory; None if unset."""
    if not re.match(r"^[A-Za-z_][A-Za-z0-9_]*$", name):
        raise GuardError(f"{name!r} is not a variable's name.", remedy="Mend what names it.")
    texts = [f"${{{name}-}}", f"${{{name}+set}}"]
    value, is_set = interpolated(texts, directory, env_file)
    return value if is_set else None


def interpolated(texts: Sequence[str], directory: Path, env_file: Path | None) -> list[str]:
    """Return texts as Compose reads them in a file of this project directory.

    Raises GuardError.
    """
    if env_file and (read := compose_plain.interpolated(texts, env_file)) is not None:
        return read
    return _asked(texts, directory, env_file)


def _asked(texts: Sequence[str], directory: Path, env_file: Path | None) -> list[str]:
    values = {f"_{number}": text for number, text in enumerate(texts)}
    asked = {"name": "question", "services": {"x": {"image": "x", "environment": values}}}
    argv = ["--project-directory", str(directory)]
    argv += ["--env-file", str(env_file)] if env_file else []
    with tempfile.TemporaryDirectory() as scratch:
        question = Path(scratch) / "question.json"
        question.write_text(json.dumps(asked))
        argv += ["-f", str(question), "config", "--format", "json"]
        answer = config(argv, directory, None)
    read = answer["services"]["x"]["environment"]
    return [str(read[name]).replace("$$", "$") for name in values]
