"""Reads what this host runs by the clock, and the shell scripts of a folder."""

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

LARGEST = 256 * 1024  # bytes of a script
_TABLES = ("etc/crontab", "etc/cron.d/*", "var/spool/cron/crontabs/*", "var/spool/cron/*")
_FOLDERS = ("etc/cron.hourly/*", "etc/cron.daily/*", "etc/cron.weekly/*", "etc/cron.monthly/*")
_NOT_OURS = frozenset(["node_modules", ".git", "vendor", ".venv", "venv"])


def cron_lines(root: Path) -> Iterator[tuple[str, str]]:
    """Yield (place, line) of every crontab below `root`."""
    for path in _matching(root, _TABLES):
        for number, line in enumerate(text(path).splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                yield f"{path}, line {number}", line


def cron_scripts(root: Path) -> list[Path]:
    """Return the scripts that cron runs every hour, day, week or month."""
    return _matching(root, _FOLDERS)


def shell_scripts(folder: Path, deep: int, without: Collection[Path]) -> Iterator[Path]:
    """Yield the shell scripts in a folder and at most `deep` folders below it."""
    for place, folders, names in os.walk(folder):
        here = Path(place)
        level = len(here.relative_to(folder).parts)
        folders[:] = [
            one
            for one in folders
            if level < deep and one not in _NOT_OURS and here / one not in without
        ]
        for name in names:
            path = here / name
            if path.suffix in (".sh", ".bash") or (not path.suffix and _is_shell(path)):
                yield path


def _matching(root: Path, patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(root.glob(pattern))]


def text(path: Path) -> str:
    """Return a small file's text; nothing for what is no file, too large, or not ours to read."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return ""
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _is_shell(path: Path) -> bool:
    first = text(path).partition("\n")[0]
    return first.startswith("#!") and first.rstrip().endswith("sh")
