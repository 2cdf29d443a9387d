"""Runs the programs that carry backups to another place: rclone, rsync, ssh.

They are Debian packages that a person installs, so a missing one is an error that names
it. They get no more of our environment than they need, and each is marked with the app
that it works for: what a killed run left behind is ended before the next one begins.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from worker.adapters import process
from worker.errors import CommandError, ConfigError, UnavailableError

_NEEDED = ("PATH", "HOME", "USER", "LANG", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_PACKAGES = {"ssh": "openssh-client"}
# What rclone says of a remote that its configuration does not have.
_NO_REMOTE = ("didn't find section in config file", "didn't find backend called")
SAID = 3  # lines of what a program said last


def run(
    argv: Sequence[str], *, to: str, timeout: float, mark: str, empty: int | None = None
) -> str:
    """Return what a program wrote. `to` names the target in errors; `timeout` in seconds.

    An exit code of `empty` is no error: there is nothing. Raises UnavailableError when it
    did not do what it should, ConfigError when it is not installed.
    """
    program = argv[0]
    if shutil.which(program) is None:
        raise ConfigError(
            f"{program} is not installed, and the target {to} needs it.",
            remedy=f"Run apt-get install {_PACKAGES.get(program, program)}",
        )
    try:
        return process.run(argv, cwd=Path("/"), timeout=timeout, env=_environment(), mark=mark)
    except CommandError as error:
        if empty is not None and error.message.endswith(f"exited {empty}."):
            return ""
        how = error.message.rpartition("` ")[2]
        said = " ".join(" ".join(error.tail.splitlines()[-SAID:]).split())
        raise UnavailableError(
            f"The target {to} did not do its part: {program} {how} {said}".rstrip(),
            remedy=_remedy(to, said),
        ) from error


def _remedy(to: str, said: str) -> str:
    if any(words in said for words in _NO_REMOTE):
        return (
            f"Make the remote that {to} names with `rclone config`, as the user that sheetanchor"
            " runs as, or correct its name."
        )
    return f"See that {to} can be reached from this host, and written to."


def _environment() -> dict[str, str]:
    wanted = {*_NEEDED, *_PROXIES}
    return {k: v for k, v in os.environ.items() if k in wanted or k.startswith("RCLONE_")}
