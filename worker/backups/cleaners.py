"""Other people's scripts and cron lines that remove things in the backup folder.

An app that was backed up by hand before has one, and it counts our folders among
its own: the last seven go, whoever needs them. It is found by reading, so what is
reported is a suspicion with its place, and nothing is refused for it.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from worker.adapters import scripts
from worker.config import App

DEEP = 3  # folders below the checkout in which scripts are looked for
_REMOVES = re.compile(
    r"\brm\s+(-|\"?\$|/)|\s-delete\b|\bxargs\b.*\brm\b|-exec\s+rm\b|\btmpreaper\b|\btmpwatch\b"
)
_ASSIGNED = re.compile(r"^\s*(?:export\s+|local\s+|readonly\s+)*(\w+)=(.*)$")
_LOOPED = re.compile(r"\bfor\s+(\w+)\s+in\s+(.*)$")
_ENTERED = re.compile(r"^\s*(?:cd|pushd)\s+(.*)$")


def found(app: App, root: Path = Path("/")) -> list[str]:
    """Return a sentence for each cron line and script that seems to clean the backup folder."""
    cron = list(scripts.cron_lines(root))
    told = [f"{place}: {line.strip()}" for place, line in cron if cleaning(line, app)]
    called = {path for _, line in cron for path in _called(line)}
    mine = scripts.shell_scripts(app.checkout, DEEP, {app.backup_dir, *app.upload_paths})
    for path in sorted({*called, *scripts.cron_scripts(root), *mine}):
        within = path.is_relative_to(app.checkout)
        for number, line in cleaning(scripts.text(path), app, within=within):
            told.append(f"{path}, line {number}: {line}")
    return [f"Something else may remove backups in {app.backup_dir}: {one}" for one in told]


def cleaning(text: str, app: App, *, within: bool = False) -> list[tuple[int, str]]:
    """Return (number, line) of what removes something that the text says lies in the folder.

    The folder's name from the checkout counts only in what lies `within` the checkout, or
    names it: everybody has a folder `backups`.
    """
    names = [_called_by(app, relative=within or str(app.checkout) in text)]
    inside, lines = False, []
    for number, line in enumerate(text.splitlines(), 1):
        code = line.strip()
        if code.startswith("#"):
            continue
        known = re.compile("|".join(names))
        names.extend(
            rf"\$\{{?{assigned[1]}\b"
            for assigned in (_ASSIGNED.match(code), _LOOPED.search(code))
            if assigned and known.search(assigned[2])
        )
        if entered := _ENTERED.match(code):
            inside = bool(known.search(entered[1]))
        if _REMOVES.search(code) and (inside or re.search("|".join(names), code)):
            lines.append((number, code))
    return lines


def _called_by(app: App, *, relative: bool) -> str:
    """Return a pattern of what a script calls the folder."""
    paths = {str(app.backup_dir), str(app.backup_dir.resolve())}
    called = "|".join(sorted(map(re.escape, paths)))
    if relative and app.backup_dir.is_relative_to(app.checkout):
        name = re.escape(str(app.backup_dir.relative_to(app.checkout)))
        called += rf"|(?:(?:^|[\s\"'=(:])(?:\./)?|\$\{{?\w+\}}?/|\)/){name}"
    return rf"(?:{called})(?:$|[/\s\"'$;)*])"


def _called(line: str) -> Iterator[Path]:
    """Yield the files that a cron line runs; relative ones from the folder that it enters."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a quote without its other half
        words = line.split()
    here = Path("/")
    for before, word in zip(["", *words], words, strict=False):
        if before == "cd":
            here = here / word.rstrip(";")
        elif "/" in word or word.endswith(".sh"):
            yield here / word.rstrip(";")
