"""Who else is at work on a Compose project at this moment: a person's `docker compose`.

Its daemon requests and ours would cross: both stop, create and rename the same
containers. A foreground `up` that a service manager starts again would also bring
back what the fence has just stopped.
"""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worker.adapters.process import MARK

# What changes containers or images. `run` is seen by its container; `logs` harms nobody.
WORK = re.compile(r"build|create|down|kill|pause|pull|restart|rm|scale|start|stop|unpause|up|watch")
_VALUED = re.compile(
    r"--?(f|file|p|project-name|project-directory|env-file|profile|parallel|progress|ansi"
    r"|c|context|H|host|config|l|log-level)"
)


@dataclass(frozen=True)
class Command:
    """A `docker compose` command line: its verb, project, and the folders that it names."""

    verb: str
    project: str | None = None
    folders: tuple[str, ...] = ()


@dataclass
class _Said:
    project: str | None = None
    folders: list[str] = field(default_factory=list)

    def hear(self, option: str, value: str) -> None:
        if option in ("-p", "--project-name"):
            self.project = value
        elif option == "--project-directory":
            self.folders.insert(0, value)
        elif option in ("-f", "--file"):
            self.folders.append(str(Path(value).parent))


def at_work(folders: Collection[Path], project: str) -> str | None:
    """Return a process that works on the project, as `command (process id)`; None when none does.

    `folders` are those that Compose takes for the project's: of the checkout and its files.

    Programs of ours carry a mark and are left out: the app's lock keeps them apart.
    """
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = _words(entry / "cmdline")
            found = parsed(words)
            if found is None or not WORK.fullmatch(found.verb):
                continue
            environment = dict(one.partition("=")[::2] for one in _words(entry / "environ"))
            here = (entry / "cwd").readlink()
        except OSError:  # it ended while we looked
            continue
        if MARK not in environment and concerns(found, environment, here, folders, project):
            return f"docker compose {found.verb} (process {entry.name})"
    return None


def parsed(words: Sequence[str]) -> Command | None:
    """Return what a command line asks of Compose, or None when it is none of Compose's."""
    names = [Path(word).name for word in words[:2]]
    if "docker-compose" in names:
        rest = iter(words[names.index("docker-compose") + 1 :])
    elif names[:1] == ["docker"]:
        rest = iter(words[1:])
    else:
        return None
    is_compose, said = "docker-compose" in names, _Said()
    for word in rest:
        option, equals, value = word.partition("=")
        if word.startswith("-"):
            if _VALUED.fullmatch(option):
                said.hear(option, value if equals else next(rest, ""))
        elif word == "compose":
            is_compose = True
        else:
            return Command(word, said.project, tuple(said.folders)) if is_compose else None
    return None


def concerns(
    command: Command,
    environment: dict[str, str],
    here: Path,
    folders: Collection[Path],
    project: str,
) -> bool:
    """Whether a command is about this project: by its name, else by its folder.

    Without a file named, Compose takes the nearest folder upwards that has one: that
    of another project may lie within the checkout.
    """
    if named := command.project or environment.get("COMPOSE_PROJECT_NAME"):
        return named == project
    real = Path(os.path.realpath(here / next(iter(command.folders), "")))
    if not command.folders:
        real = next((one for one in (real, *real.parents) if _has_compose_file(one)), real)
    return real in {Path(os.path.realpath(one)) for one in folders}


def _has_compose_file(folder: Path) -> bool:
    names = [f"{name}.{end}" for name in ("compose", "docker-compose") for end in ("yaml", "yml")]
    return any((folder / name).is_file() for name in names)


def _words(path: Path) -> list[str]:
    return list(_split(path.read_bytes()))


def _split(raw: bytes) -> Iterator[str]:
    return (os.fsdecode(word) for word in raw.split(b"\0") if word)
