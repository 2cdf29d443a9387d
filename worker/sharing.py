"""Whether two apps of one configuration share a place, also by way of links.

The danger: one app's restore, retention or checkout takes what the other one needs.
A folder within another counts, too: what is below a checkout is moved by Git, what
is below uploads is backed up and put back with them.
"""

import os
from collections.abc import Iterable, Mapping
from itertools import combinations, product
from pathlib import Path

Places = Mapping[str, Path]  # key of the configuration -> absolute folder


def shared_folders(apps: Mapping[str, Places]) -> list[str]:
    """Return a sentence for each two apps that share a folder: for the first one found."""
    found = []
    for (one, mine), (other, theirs) in combinations(apps.items(), 2):
        pairs = product(_named(one, mine), _named(other, theirs))
        if sentence := next(filter(None, (_sentence(*a, *b) for a, b in pairs)), None):
            found.append(sentence)
    return found


def shared_projects(projects: Mapping[str, str | None]) -> list[str]:
    """Return a sentence for each two apps whose `project` is the same."""
    return [
        f"apps.{one}.project and apps.{other}.project are both {mine}"
        for (one, mine), (other, theirs) in combinations(projects.items(), 2)
        if mine and mine == theirs
    ]


def shared_targets(targets: Mapping[str, Iterable[str]]) -> list[str]:
    """Return a sentence for each target that two apps copy their backups to."""
    return [
        f"apps.{one}.backup.offsite and apps.{other}.backup.offsite both name {target}"
        for (one, mine), (other, theirs) in combinations(targets.items(), 2)
        for target in {*mine} & {*theirs}
    ]


def _named(app: str, places: Places) -> Iterable[tuple[str, Path]]:
    return [(f"apps.{app}.{key}", path) for key, path in places.items()]


def _sentence(key: str, path: Path, other: str, there: Path) -> str | None:
    real, real_there = os.path.realpath(path), os.path.realpath(there)
    mine = f"{key} ({_shown(path, real)})"
    theirs = f"{other} ({_shown(there, real_there)})"
    if real == real_there:
        return f"{mine} and {theirs} are the same folder"
    if _within(real, real_there):
        return f"{mine} lies in {theirs}"
    return f"{theirs} lies in {mine}" if _within(real_there, real) else None


def _shown(path: Path, real: str) -> str:
    return real if str(path) == real else f"{path}, which is {real}"


def _within(path: str, folder: str) -> bool:
    return path.startswith(f"{folder.rstrip('/')}/")
