"""Where backups are copied to, off this host: what `backup.offsite` may say. Pure.

`rclone:REMOTE:PATH` is a remote of rclone's own configuration, `rsync:USER@HOST:/PATH`
a folder reached through ssh, `rsync:/PATH` one of this host (a mounted disk). What stands
in the path of another host meets that host's shell, so it is of plain characters only.
"""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

_RCLONE = re.compile(r"rclone:(?P<host>:?[A-Za-z0-9_][\w .+@-]*):(?P<path>[^\x00-\x1f\x7f]*)")
_SSH = re.compile(r"rsync:(?P<host>(?:[\w.-]+@)?[A-Za-z0-9][\w.-]*):(?P<path>(?![-~:])[\w./@+~-]+)")
_LOCAL = re.compile(r"rsync:(?P<path>/[^\x00-\x1f\x7f]*)")
SHAPES = "rclone:REMOTE:PATH, rsync:USER@HOST:/PATH or rsync:/PATH"


@dataclass(frozen=True, slots=True)
class Target:
    """One of them. `text` as it was written; `host` is rclone's remote, or None for this host."""

    text: str
    kind: str  # rclone, rsync
    host: str | None
    path: str

    def at(self, name: str) -> str:
        """Return the address of what has this name there; "" for the target itself."""
        inner = f"{self.path.rstrip('/')}/{name}" if self.path else name
        return inner if self.host is None else f"{self.host}:{inner}"


def parse(text: str) -> Target:
    """Return the target that a text names. Raises ValueError."""
    for kind, shape in (("rclone", _RCLONE), ("rsync", _LOCAL), ("rsync", _SSH)):
        found = shape.fullmatch(text)
        if found and ".." not in found["path"].split("/"):
            return Target(text, kind, found.groupdict().get("host"), found["path"])
    raise ValueError(f"{text!r} should look like {SHAPES}")


def _are_targets(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        parse(text)
    if len({*texts}) < len(texts):
        raise ValueError("a target stands in it twice")
    return texts


Targets = Annotated[tuple[str, ...], AfterValidator(_are_targets)]
