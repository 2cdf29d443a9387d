"""At most one deployment of an app at a time: `flock`, on two things.

On the app's lock file, and on the checkout's Git folder, so that two
configurations of one checkout exclude each other too. The kernel frees a lock
within a millisecond of its process's death; a lease in Redis cannot promise
that. The descriptors are closed in children (Python's default).
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from worker.clock import Clock
from worker.errors import BusyError

PAUSE = 0.1  # seconds between two tries to take a lock


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold the lock on a file or folder. Raises BusyError when another has it."""
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, what)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def waited_for(
    path: Path,
    what: str,
    clock: Clock,
    patience: float,
    hopeless: Callable[[], object] = lambda: False,
) -> Iterator[None]:
    """Hold the lock on a file; wait up to `patience` seconds for it, unless that is hopeless.

    Raises BusyError.
    """
    deadline = clock.monotonic() + patience
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(held(path, what))
                break
            except BusyError:
                if clock.monotonic() >= deadline or hopeless():
                    raise
                clock.sleep(PAUSE)
        yield


def is_free(path: Path) -> bool:
    """Return whether nobody holds the lock at this moment."""
    try:
        with held(path, "it"):
            return True
    except BusyError:
        return False


def _take(descriptor: int, what: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise BusyError(
            f"Another deployment of {what} is running.",
            remedy="Wait for it, or look at it with `sheetanchor status`.",
        ) from error
