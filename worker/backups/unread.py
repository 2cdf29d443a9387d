"""Which backups could not be read back, and why: a fsynced file, as `status` shows it.

That is no damage: nothing is known of such a backup. It is told until a later reading ends,
whatever that finds. Written by the holder of the app's slow lock only; anybody may look.
"""

import json
from pathlib import Path
from typing import Any

from worker import durable

View = dict[str, Any]
FIELDS = ("backup", "at", "by", "why", "remedy")


def read(record: Path) -> list[View]:
    """Return what failed and was not done since, oldest first; `backup` is None for all."""
    return durable.read_or_set_aside(record, _parsed) or []


def noted(record: Path, failure: View) -> None:
    """Note a failure, with FIELDS; what was noted of the same backup is over."""
    others = [one for one in read(record) if one["backup"] != failure["backup"]]
    _write(record, [*others, failure])


def over(record: Path, backup: str | None) -> None:
    """Forget what failed of a backup, or of all: it was read to its end."""
    known = read(record)
    left = [one for one in known if backup is not None and one["backup"] != backup]
    if left != known:
        _write(record, left)


def _write(record: Path, failures: list[View]) -> None:
    durable.write(record, json.dumps(failures).encode())


def _parsed(text: str) -> list[View]:
    found = json.loads(text)
    if not isinstance(found, list) or any(one.keys() != {*FIELDS} for one in found):
        raise ValueError("it is no list of failed readings")
    return found
