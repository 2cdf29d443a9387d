"""Files that exist whole or not at all, and are on disk when the call returns."""

import json
import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)


def write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file's content through a partial file beside it; both fsynced."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        _fill(partial, data, mode)
    except OSError:  # a full disk: the half of it takes room that somebody needs
        partial.unlink(missing_ok=True)
        raise
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


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; None when there is no such file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def read_or_set_aside(path: Path, parse: Callable[[str], T]) -> T | None:
    """Return what `parse` makes of a file's text; None when there is no such file.

    None also for one that is not ours to read: put there by hand, or damaged. It is
    renamed, which tells of it once and loses nothing: whatever waits behind it goes on.
    `parse` says so by a ValueError, KeyError or TypeError.
    """
    try:
        return parse(path.read_text())
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, IsADirectoryError) as error:
        aside = path.with_name(f"{path.name}.unreadable-{secrets.token_hex(3)}")
        try:
            path.rename(aside)
        except FileNotFoundError:  # another process was first
            return None
        fsync(path.parent)
        log.warning(
            "file.set_aside", extra={"path": str(path), "to": aside.name, "why": str(error)}
        )
    return None


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
