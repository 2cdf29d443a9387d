"""Whose fault a failure is: the revision's, or that of what surrounds it.

Of a failure of the surroundings (remote, Docker, MongoDB, space, the death of
our own process) nothing is decided: the same revision may be fine in a minute.
The danger is to blame them wrongly: a broken revision would be tried for ever.
So they are blamed for what they say themselves, or when they do not answer now.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

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
from worker.reserve import FULL
from worker.steps.attempt import Attempt

NO_FAILURES = (CancelledError, HeldError, SkippedError)
# The C library's words, that BuildKit and Go have, too; and Git's own (seen).
FULL_SAID = ("no space left on device", "disk quota exceeded", "out of diskspace")


def to_blame(attempt: Attempt, error: BaseException) -> UnavailableError | None:
    """Return what of the surroundings made a deployment fail, or None.

    Asks Docker and MongoDB when the error alone does not say: an unhealthy
    version is not the revision's fault while its database is away.
    """
    if told := _told(error):
        return told
    asked = isinstance(error, SheetanchorError) and not isinstance(error, NO_FAILURES)
    return who_is_away(attempt) if asked and not attempt.inherited else None


def _told(error: BaseException) -> UnavailableError | None:
    """Return what the error itself says is away or full, or None."""
    for one in _chain(error):
        if isinstance(one, UnavailableError):
            return one
        if _is_full(one):
            return FullError(
                f"A disk is full: {one}", remedy="Free some space; the head is then tried again."
            )
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in FULL
    return isinstance(error, CommandError) and any(one in error.tail.lower() for one in FULL_SAID)


def who_is_away(attempt: Attempt) -> UnavailableError | None:
    """Return what Docker or MongoDB says by not answering; None when both answer."""
    try:
        attempt.engine.version()
        if attempt.mongo:
            attempt.mongo.ping()
    except UnavailableError as error:
        return error
    except GuardError:  # where the databases are cannot be told: that is no outage
        return None
    return None


@dataclass
class Patience:
    """How long one step of the way back waits for Docker and MongoDB, over all its tries.

    A try counts only while both answer (promise 11): else an outage of a minute would
    leave an app for a person to mend. A full disk is nobody's absence: the next try has
    the room that the reserves give up.
    """

    attempt: Attempt
    seconds: float
    pause: float
    _until: float = math.inf

    def was_theirs(self, error: BaseException) -> bool:
        """Return whether a failed try was of what was away; by then both answer again.

        Raises `error` when they have been waited for long enough.
        """
        away = _told(error) or who_is_away(self.attempt)
        if away is None or isinstance(away, FullError):
            self._until = math.inf
            for reserve in self.attempt.reserves if away else ():
                reserve.make_room()
            return False
        clock = self.attempt.clock
        self._until = min(self._until, clock.monotonic() + self.seconds)
        self.attempt.say(f"waiting: {away}")
        while clock.monotonic() <= self._until:
            if who_is_away(self.attempt) is None:
                return True
            clock.sleep(self.pause)
        raise error


def wait_for_both(attempt: Attempt, patience: float, pause: float) -> None:
    """Return once Docker and MongoDB answer. Raises UnavailableError after `patience` seconds."""
    if away := who_is_away(attempt):
        Patience(attempt, patience, pause).was_theirs(away)
