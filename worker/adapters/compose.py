"""Docker Compose, through its binary: the only module that speaks to it.

The danger is in the words: this module never says the commands and options
that remove volumes, and answers no question.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker import durable
from worker.adapters import compose_command, registry
from worker.adapters.compose_question import RENDER, Model, config, interpolated, variable
from worker.adapters.containers import Container
from worker.adapters.process import Line
from worker.config import App
from worker.errors import GuardError
from worker.release import KINDS, VARIABLES, sharing

UP = 900.0  # seconds; includes the grace that containers are given to stop
BUILD = 7_200.0  # seconds
PULL = 3_600.0  # seconds

OURS = "SHEETANCHOR_OF_"


@dataclass(frozen=True)
class Compose:
    """One Compose project. `mark` ties its programs to a deployment."""

    project: str
    mark: str | None = None

    def build(self, model: Path, *, on_line: Line) -> None:
        """Build every service that has a `build`. Raises CommandError, UnavailableError."""
        with registry.answering():
            self._run(model, ["--progress", "plain", "build"], BUILD, on_line=on_line)

    def pull(self, model: Path, services: Sequence[str], *, on_line: Line) -> None:
        """Pull the images of these services. Raises CommandError, UnavailableError."""
        argv = ["--progress", "plain", "pull", "--", *services]
        with registry.answering():
            self._run(model, argv, PULL, on_line=on_line)

    def up(
        self,
        model: Path,
        directory: Path,
        services: Sequence[str] = (),
        *,
        start: bool = True,
        recreate: bool = False,
        scale: Mapping[str, int] | None = None,
        on_line: Line | None = None,
    ) -> None:
        """Make the containers what the model says; without `start` only create them.

        Builds nothing and pulls nothing: a missing image is an error. Data in
        volumes is carried over, and containers of services that the model has not are
        left alone (`worker.steps.leaving`). `recreate` replaces the named services' containers
        even if nothing changed, with what they depend on if that changed: with
        `--no-deps` they would lose the label that names it (measured). `scale` says
        how many containers a service has, where that is not what the model says.
        """
        argv = ["--project-directory", str(directory), "--progress", "plain"]
        argv += ["up", "--no-build", "--pull", "never"]
        argv += ["--detach"] if start else ["--no-start"]
        if services:
            argv += ["--force-recreate"] if recreate else ["--no-deps"]
        argv += [f"--scale={service}={count}" for service, count in (scale or {}).items()]
        self._run(model, [*argv, "--", *services], UP, on_line=on_line)

    def stop(self, model: Path, services: Sequence[str], *, on_line: Line) -> None:
        """Stop these services as a person would: after their `pre_stop`. Raises CommandError."""
        argv = ["--progress", "plain", "stop", "--", *services]
        self._run(model, argv, UP, on_line=on_line)

    def hashes(
        self, model: Path, directory: Path, containers: Sequence[Container]
    ) -> dict[str, str]:
        """Return service -> the hash that `up` would label its containers with.

        A service that shares another's network or volumes is hashed with the id of
        that one's first container, so `containers` are those that are there.
        """
        argv = ["--project-directory", str(directory), "config", "--hash", "*"]
        ids = {one.service: one.id for one in sorted(containers, key=_name, reverse=True)}
        resolved = model.with_name("resolved.json")
        asked = json.loads(model.read_text())
        own = set(asked.get("services") or {})
        durable.write(resolved, json.dumps(sharing(asked, ids)).encode())
        try:
            lines = self._run(resolved, argv, RENDER).splitlines()
        finally:
            resolved.unlink()
        found = dict(line.split() for line in lines if line.strip())
        return {service: value for service, value in found.items() if service in own}

    def _run(
        self, model: Path, argv: Sequence[str], timeout: float, *, on_line: Line | None = None
    ) -> str:
        # A model holds only the services that were active when it was rendered: all are meant.
        argv = ["-p", self.project, "--profile", "*", "-f", str(model), *argv]
        kept = json.loads(model.read_text()).get(VARIABLES) or {}
        variables = {name: value.replace("$$", "$") for name, value in kept.items()}
        return compose_command.run(
            argv, Path("/"), timeout, mark=self.mark, on_line=on_line, variables=variables
        )


def _name(container: Container) -> str:
    return container.name


def render(
    directory: Path,
    compose_files: Sequence[str],
    env_file: Path | None,
    project: str | None,
    *,
    mark: str | None = None,
) -> Model:
    """Return the whole model: interpolated, env files read in, paths absolute.

    `directory` is the project directory. Only the environment given to Compose
    by `env_file` is interpolated. A `$` in a value is written `$$`, so the model
    is valid input again. Raises GuardError with Compose's own words.
    """
    argv = _source(directory, compose_files, env_file, project)
    model = config([*argv, "config", "--format", "json"], directory, mark)
    _keep_variables(model, directory, env_file)
    return model


def _keep_variables(model: Model, directory: Path, env_file: Path | None) -> None:
    """Put the values that secrets and configs take from variables into the model.

    Compose looks such a variable up only at `up`, where nothing of the env file is
    there any more. It gets a name of ours, so that no Compose file can set what
    steers Compose itself, such as DOCKER_HOST.
    """
    sources = [one for kind in KINDS for one in (model.get(kind) or {}).values()]
    sources = [one for one in sources if one.get("environment")]
    values: dict[str, str] = {}
    for name in sorted({one["environment"] for one in sources}):
        value = variable(name, directory, env_file)
        if value is None:
            raise GuardError(
                f"The variable {name}, which a secret or config is taken from, is not set.",
                remedy=f"Set {name} in {env_file or directory / '.env'}.",
            )
        values[OURS + name] = value.replace("$", "$$")
    for one in sources:
        one["environment"] = OURS + one["environment"]
    if values:
        model[VARIABLES] = values


def by_hand(app: App, project: str, *options: str) -> str:
    """Return the command by which a person brings the checkout up, as it stands."""
    words = ["docker", "compose", "-p", project, "--project-directory", str(app.checkout)]
    words += [word for name in app.compose_files for word in ("-f", str(app.checkout / name))]
    words += ["--env-file", str(app.env_path)] if app.env_path else []
    return shlex.join([*words, "up", "-d", *options])


def value_in(env_file: Path, name: str, scratch: Path) -> str | None:
    """Return a variable of an env file exactly as Compose reads it; None if unset.

    Compose is asked itself: quotes, escapes and references in such files have
    rules of their own, and a naive reader gets another password. `scratch` is a
    folder without an `.env`.
    """
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    return variable(name, scratch, env_file)


def env_files(directory: Path, compose_files: Sequence[str], env_file: Path | None) -> list[str]:
    """Return the paths of the env files that any service names. Raises GuardError."""
    of_services = read_by_services(directory, compose_files, env_file).values()
    return [path for keys in of_services for path in keys["env_file"]]


def read_by_services(
    directory: Path, compose_files: Sequence[str], env_file: Path | None
) -> dict[str, dict[str, list[str]]]:
    """Return service -> `env_file` and `label_file` -> absolute paths. Raises GuardError.

    Rendered as a whole, a model shows their values only. Without interpolation Compose
    fails on what it cannot read then, such as an `include` with a variable in its path.
    """
    argv = ["--profile", "*", *_source(directory, compose_files, env_file, None)]
    model = config([*argv, "config", "--no-interpolate", "--format", "json"], directory, None)
    named = {
        (name, key): [one["path"] if isinstance(one, dict) else one for one in service.get(key, ())]
        for name, service in (model.get("services") or {}).items()
        for key in ("env_file", "label_file")
    }
    asked = sorted({path for paths in named.values() for path in paths})
    ends = [_from_variable(path) for path in asked]
    read = interpolated(ends, directory, env_file) if asked else []
    known = {
        path: str(Path(path.removesuffix(end)) / value)
        for path, end, value in zip(asked, ends, read, strict=True)
    }
    found: dict[str, dict[str, list[str]]] = {}
    for (name, key), paths in named.items():
        found.setdefault(name, {})[key] = [known[path] for path in paths]
    return found


def _from_variable(path: str) -> str:
    """Return a path from its first part with a variable on: that one may be absolute."""
    before, dollar, _ = path.partition("$")
    return path[before.rfind("/") + 1 :] if dollar else ""


def _source(
    directory: Path, compose_files: Sequence[str], env_file: Path | None, project: str | None
) -> list[str]:
    argv = ["--project-directory", str(directory)]
    for name in compose_files:
        if not (directory / name).is_file():
            raise GuardError(
                f"The Compose file {name} is neither in the revision nor in the checkout.",
                remedy="Push it, or mend compose_files.",
            )
        argv += ["-f", str(directory / name)]
    if env_file is not None and not env_file.is_file():
        raise GuardError(
            f"The env file {env_file} does not exist.",
            remedy="Write it, or mend env_file in sheetanchor.toml.",
        )
    argv += ["--env-file", str(env_file)] if env_file else []
    return argv + (["-p", project] if project else [])
