"""What was asked for and could not be done: a fsynced file, as `status` shows it.

A backup that was not made, or one that could not be read back: that is no damage, for nothing
is known of it. It is told until the same is done. A file is written by the holder of one lock
only, the app's or its slow one; anybody may look.
"""

import json
from pathlib import Path
from typing import Any

from worker import durable

View = dict[str, Any]
FIELDS = ("verb", "backup", "at", "by", "why", "remedy")


def read(record: Path) -> list[View]:
    """Return what failed and was not done since, oldest first; `backup` is None for all."""
    return durable.read_or_set_aside(record, _parsed) or []


def noted(record: Path, failure: View) -> None:
    """Note a failure, with FIELDS; what was noted of the same before is over."""
    others = [one for one in read(record) if _about(one) != _about(failure)]
    _write(record, [*others, failure])


def over(record: Path, verb: str, backup: str | None = None) -> None:
    """Forget what failed of that, for one backup or for all: it is done."""
    known = read(record)
    left = [one for one in known if one["verb"] != verb or backup not in (None, one["backup"])]
    if left != known:
        _write(record, left)


def _about(failure: View) -> tuple[Any, Any]:
    return failure["verb"], failure["backup"]


def _write(record: Path, failures: list[View]) -> None:
    durable.write(record, json.dumps(failures).encode())


def _parsed(text: str) -> list[View]:
    found = json.loads(text)
    if not isinstance(found, list) or any(one.keys() != {*FIELDS} for one in found):
        raise ValueError("it is no list of what was not done")
    return found
