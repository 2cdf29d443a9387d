"""Whose fault a failure is: the revision's, or that of what surrounds it.

Of a failure of the surroundings (remote, Docker, MongoDB, space, the death of
our own process) nothing is decided: the same revision may be fine in a minute.
The danger is to blame them wrongly: a broken revision would be tried for ever.
So they are blamed for what they say themselves, or when they do not answer now.
"""

import errno
from collections.abc import Iterator

from worker.errors import (
    CancelledError,
    CommandError,
    FullError,
    GuardError,
    HeldError,
    SheetanchorError,
    SkippedError,
    UnavailableError,
)
from worker.steps.attempt import Attempt

FULL = (errno.ENOSPC, errno.EDQUOT)
NO_FAILURES = (CancelledError, HeldError, SkippedError)
FULL_SAID = "no space left on device"  # Go's and BuildKit's words, and the C library's


def to_blame(attempt: Attempt, error: BaseException) -> UnavailableError | None:
    """Return what of the surroundings made a deployment fail, or None.

    Asks Docker and MongoDB when the error alone does not say: an unhealthy
    version is not the revision's fault while its database is away.
    """
    for one in _chain(error):
        if isinstance(one, UnavailableError):
            return one
        if _is_full(one):
            return FullError(
                f"A disk is full: {one}", remedy="Free some space; the head is then tried again."
            )
    asked = isinstance(error, SheetanchorError) and not isinstance(error, NO_FAILURES)
    return _who_does_not_answer(attempt) if asked and not attempt.inherited else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in FULL
    return isinstance(error, CommandError) and FULL_SAID in error.tail.lower()


def _who_does_not_answer(attempt: Attempt) -> UnavailableError | None:
    try:
        attempt.engine.version()
        if attempt.mongo:
            attempt.mongo.ping()
    except UnavailableError as error:
        return error
    except GuardError:  # where the databases are cannot be told: that is no outage
        return None
    return None


def wait_for_docker(attempt: Attempt, patience: float, pause: float) -> None:
    """Return once Docker answers. Raises UnavailableError after `patience` seconds."""
    clock = attempt.clock
    deadline = clock.monotonic() + patience
    while True:
        try:
            attempt.engine.version()
        except UnavailableError:
            if clock.monotonic() > deadline:
                raise
            clock.sleep(pause)
        else:
            return
