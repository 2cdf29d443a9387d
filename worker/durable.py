"""Files that exist whole or not at all, and are on disk when the call returns."""

import os
import secrets
from pathlib import Path


def write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file's content through a partial file beside it; both fsynced."""
    partial = path.with_name(f".{path.name}.partial")
    _fill(partial, data, mode)
    partial.rename(path)
    fsync(path.parent)


def create(path: Path, data: bytes, *, mode: int = 0o600) -> bool:
    """Make a file, whole or not at all; return False, and change nothing, if it is there.

    Of several processes that try at once exactly one is told True.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    try:
        _fill(partial, data, mode)
        os.link(partial, path)
    except FileExistsError:
        return False
    finally:
        partial.unlink(missing_ok=True)
    fsync(path.parent)
    return True


def _fill(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def fsync(path: Path) -> None:
    """Have a file's or folder's content on disk. A rename is not there without it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
