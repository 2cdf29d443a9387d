"""Lends the work folder, for the rendering only, what Git does not track.

A service's `env_file:` is usually untracked, so it stands in the checkout and
not in the exported revision; Compose reads nothing without it, not even the
list of such files. So every file that a Compose file names and that stands only
in the checkout is lent: too many do no harm, they are gone before the build.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

LARGEST = 1024 * 1024  # bytes; an env file is smaller
_WORD = re.compile(r"[^\s'\"\[\]{},]+")


@contextmanager
def lent(work: Path, checkout: Path, compose_files: Sequence[str]) -> Iterator[None]:
    """Have the untracked files that the Compose files name in `work`, for the block."""
    copies = []
    try:
        for path in named((work, checkout), compose_files):
            if (work / path).exists():
                continue
            there = work / path
            there.parent.mkdir(parents=True, exist_ok=True)
            copies.append(there)
            shutil.copyfile(checkout / path, there)
        yield
    finally:
        for copy in copies:
            copy.unlink(missing_ok=True)


def named(tops: Sequence[Path], compose_files: Sequence[str]) -> list[Path]:
    """Return the small files in any of these folders that the Compose files name.

    Relative paths. Compose files that are included or extended are read, too.
    """
    todo, seen = [Path(name) for name in compose_files], set()
    found: set[Path] = set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        words = set(_words(tops, path))
        todo += [word for word in words if word.suffix in (".yml", ".yaml")]
        found |= words
    return sorted(found)


def _words(tops: Sequence[Path], compose_file: Path) -> Iterator[Path]:
    """Yield each word of a Compose file that is a small file in one of the folders."""
    here = next((top for top in tops if (top / compose_file).is_file()), None)
    if here is None:
        return
    for word in set(_WORD.findall((here / compose_file).read_text(errors="replace"))):
        for base in (compose_file.parent, Path()):
            path = _inside(base / word)
            if path and any(_small(top / path) for top in tops):
                yield path


def _inside(path: Path) -> Path | None:
    """Return a relative path without `.` and `..`, or None when it leaves the folder."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return Path(*parts) if parts and not path.is_absolute() else None


def _small(path: Path) -> bool:
    try:
        return path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST
    except OSError:  # a word too long for a name
        return False
