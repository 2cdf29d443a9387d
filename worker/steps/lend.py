"""Lends the work folder, for the rendering only, what Git does not track.

A service's `env_file:` is usually untracked, so it stands in the checkout and
not in the exported revision; Compose reads nothing without it, not even the
list of such files. So every file that a Compose file names, in whatever way, and
that stands only in the checkout is lent: too many do no harm, they are gone
before the build. Variables in a path are replaced by Compose itself.
"""

import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from worker.adapters import compose_question
from worker.errors import GuardError
from worker.steps.attempt import Attempt

COMPOSE = (".yml", ".yaml")
LARGEST = 1024 * 1024  # bytes; an env file is smaller
_WORD = re.compile(r"(?:\$\{[^{}\n]*\}|[^\s'\"\[\]{},])+")
_QUOTED = re.compile(r"\"([^\"\n]+)\"|'([^'\n]+)'")
_REST_OF_LINE = re.compile(
    r"^[ \t]*(?:-[ \t]+)?(?:[\w-]+:[ \t]+)?([^\s#].*?)[ \t]*(?:[ \t]#.*)?$", re.MULTILINE
)
# What Compose can replace without a question of its own: no cut text, no shell's `$(`.
_REPLACEABLE = re.compile(r"(?:[^$]|\$\$|\$\w+|\$\{\w+(?:[:+-][^{}$]*)?\})*")


def lent_to(attempt: Attempt) -> AbstractContextManager[None]:
    """Have the untracked files that its Compose files name in a deployment's work folder."""
    app, head = attempt.app, attempt.fact("preflight", "head")["revision"]
    tracked = partial(attempt.checkout.tracked, head)
    return lent(attempt.work, app.checkout, app.compose_files, app.env_path, tracked)


@contextmanager
def lent(
    work: Path,
    checkout: Path,
    compose_files: Sequence[str],
    env_file: Path | None,
    tracked: Callable[[Sequence[str]], Collection[str]],
) -> Iterator[None]:
    """Have the untracked files that the Compose files name in `work`, for the block.

    `tracked` says which of some paths the checkout tracks: a Compose file that it does,
    and that is not in `work`, was removed by the revision, and is no more.
    """
    there = named((work, checkout), compose_files, env_file)
    wanted = [path for path in there if not (work / path).exists()]
    gone = tracked([str(path) for path in wanted if path.suffix in COMPOSE])
    copies = [work / path for path in wanted if str(path) not in gone]
    try:
        for copy in copies:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(checkout / copy.relative_to(work), copy)
        yield
    finally:
        for copy in copies:
            copy.unlink(missing_ok=True)


def named(tops: Sequence[Path], compose_files: Sequence[str], env_file: Path | None) -> list[Path]:
    """Return the Compose files and the small files in these folders that they name.

    Relative paths. Compose files that are included or extended are read, too;
    so is the `.env` beside each, which no file has to name. `env_file` is what
    is interpolated from.
    """
    todo, seen = [Path(name) for name in compose_files], set()
    found = {path for path in todo if any(is_small_file(top / path) for top in tops)}
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        files = set(_files(tops, path, env_file))
        todo += [file for file in files if file.suffix in COMPOSE]
        found |= files
    return sorted(found)


def _files(tops: Sequence[Path], compose_file: Path, env_file: Path | None) -> Iterator[Path]:
    """Yield each small file in one of the folders that a Compose file names."""
    here = next((top for top in tops if (top / compose_file).is_file()), None)
    if here is None:
        return
    directory = next((top for top in tops if (top / ".env").is_file()), here)
    for text in {".env", *texts(here / compose_file, directory, env_file)}:
        for base in (compose_file.parent, Path()):
            path = _inside(base / text)
            if path and any(is_small_file(top / path) for top in tops):
                yield path


def texts(compose_file: Path, directory: Path, env_file: Path | None) -> set[str]:
    """Return all that can be a path in a Compose file: words, quoted texts, ends of lines."""
    content = compose_file.read_text(errors="replace")
    quoted = {one or other for one, other in _QUOTED.findall(content)}
    found = {*_WORD.findall(content), *quoted, *_REST_OF_LINE.findall(content)}
    return _replaced(found, directory, env_file)


def _replaced(texts: set[str], directory: Path, env_file: Path | None) -> set[str]:
    """Return the texts with their `${…}` replaced, as Compose does it."""
    asked = sorted(one for one in texts if "$" in one and _REPLACEABLE.fullmatch(one))
    if not asked:
        return texts
    try:
        return texts | set(compose_question.interpolated(asked, directory, env_file))
    except GuardError:  # the rendering will say what is wrong, if the file is Compose's at all
        return texts


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


def is_small_file(path: Path) -> bool:
    """Whether a path is a file of a size that is read, and no link."""
    try:
        return path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST
    except (OSError, ValueError):  # a text that is no name
        return False
