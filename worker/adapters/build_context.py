"""What Docker sends to a build: the context's files, but what `.dockerignore` leaves out."""

from collections.abc import Iterable
from pathlib import Path

from docker.utils.build import PatternMatcher


def sent(context: Path, dockerfile: str, paths: Iterable[str]) -> list[str]:
    """Return which of these files, relative to the context, a build gets."""
    matcher = PatternMatcher(_patterns(context, dockerfile))
    return [path for path in paths if not matcher.matches(path)]


def _patterns(context: Path, dockerfile: str) -> list[str]:
    """Return the patterns of the Dockerfile's own ignore file, else of `.dockerignore`."""
    for path in (context / f"{dockerfile}.dockerignore", context / ".dockerignore"):
        if path.is_file():
            lines = (line.strip() for line in path.read_text(errors="replace").splitlines())
            return [line for line in lines if line and not line.startswith("#")]
    return []
