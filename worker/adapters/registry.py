"""Whether an image's registry was away, or answered that it has no such image.

Docker tells both with the same exit code, so its own words are read (measured with
Docker 20.10: `docker pull` by the daemon, and BuildKit, word them differently). The
danger is to take a program's words in a build for them: a `RUN` that cannot connect
is the revision's. So of a build only the lines count that Docker itself ends with.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from worker.errors import CommandError, UnavailableError

_ENDS_WITH = re.compile(
    r"^(?:ERROR: )?(?:target \S+: )?(?:failed to solve|Error response from daemon)\b|^ \S+ Error "
)
_AWAY = re.compile(
    r"\bdial (?:tcp|udp)\b|no such host|server misbehaving|connection (?:refused|reset)"
    r"|no route to host|network is unreachable|\btimeout\b|deadline exceeded"
    r"|\bEOF$|unexpected EOF|broken pipe|proxyconnect|\bx509: certificate"
    r"|\b(?:429|50[0-9]) [A-Z]|HTTP (?:429|50[0-9])\b|toomanyrequests",
    re.IGNORECASE,
)
_ANSWERED = re.compile(
    r"not found|unknown|\bdenied\b|unauthorized|HTTP 40[0-8]\b|no matching manifest"
    r"|did not complete successfully|executor failed running|non-zero code",
    re.IGNORECASE,
)


@contextmanager
def answering() -> Iterator[None]:
    """Turn what a build or pull says of a registry that is away into UnavailableError."""
    try:
        yield
    except CommandError as error:
        if said := away(error.tail):
            raise UnavailableError(
                f"The registry of an image did not give it: {said}.",
                remedy="See that this host reaches the registry; the head is tried again by"
                " itself. If the image's name is wrong, mend it and push.",
            ) from error
        raise


def away(said: str) -> str | None:
    """Return Docker's words if they mean that a registry was away; None for all else. Pure."""
    lines = [_plain(line) for line in said.splitlines() if _ENDS_WITH.match(line)]
    if not lines or any(_ANSWERED.search(line) for line in lines):
        return None
    found = [line for line in lines if _AWAY.search(line)]
    return found[-1] if found else None


def _plain(line: str) -> str:
    return line.replace("rpc error: code = Unknown desc = ", "").strip().rstrip(".")
