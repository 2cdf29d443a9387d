"""The Compose program itself: where it is, and how it is run.

The `docker-compose` binary is run, because killing the `docker` command leaves
its plugin alive (measured), and with a scrubbed environment, because Compose
would put ours into the repository's file. It answers no question: standard
input is closed.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from worker.adapters import process
from worker.adapters.process import Line
from worker.errors import UnavailableError

_PLUGINS = (
    "{home}/.docker/cli-plugins",
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
_PASSED = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")


def binary() -> str:
    """Return the path of Compose v2. Raises UnavailableError when there is none."""
    for place in _PLUGINS:
        path = Path(place.format(home=Path.home())) / "docker-compose"
        if os.access(path, os.X_OK):
            return str(path)
    if found := shutil.which("docker-compose"):
        return found
    raise UnavailableError(
        "Docker Compose v2 was not found.",
        remedy="Install the docker-compose-plugin, version 2.20 or newer.",
    )


def run(
    argv: Sequence[str],
    cwd: Path,
    timeout: float,
    *,
    mark: str | None = None,
    on_line: Line | None = None,
    variables: Mapping[str, str] | None = None,
) -> str:
    """Run Compose and return what it wrote. Raises CommandError.

    `variables` are what it may read beside the few of ours that it needs; `PWD` is
    `cwd`, as in a shell, since Compose files name it.
    """

    def tell(line: str) -> None:
        if on_line and "COMPOSE_BAKE" not in line:  # our own setting, which Compose deplores
            on_line(line)

    return process.run(
        [binary(), *argv],
        cwd=cwd,
        timeout=timeout,
        env={**(variables or {}), **_environment(), "PWD": str(cwd)},
        mark=mark,
        on_line=tell,
        both=on_line is not None,  # a build writes its steps to standard output
    )


def _environment() -> Mapping[str, str]:
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    # Compose 2.40 would hand builds to a newer buildx than Debian's. And an `.env` in the
    # checkout may tell it to remove orphans: the containers that a way back needs (measured).
    local = {"LANG": "C.UTF-8", "COMPOSE_BAKE": "false", "COMPOSE_REMOVE_ORPHANS": "false"}
    # An `include` or `extends` of a registry's or another repository's file is refused:
    # it is in no revision, and reading it wrote outside the folder once (CVE-2025-62725).
    remote = {f"COMPOSE_EXPERIMENTAL_{kind}_REMOTE": "false" for kind in ("OCI", "GIT")}
    return {"PATH": os.defpath, **passed, **local, **remote}
