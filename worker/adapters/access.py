"""Where a user may write, asked as that user.

By a program, not by looking at modes: access lists, and a disk that is for reading
only, keep a user out as well.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from worker.adapters import process
from worker.adapters.process import User

LIMIT = 60.0  # seconds
MANY = 500  # folders that are asked of at once

_MAY_NOT = ("(", "!", "-writable", "-o", "-type", "d", "!", "-executable", ")")
_FOUND = (*_MAY_NOT, "-print0", "-prune")


def unwritable(folders: Sequence[Path], user: User) -> list[Path]:
    """Return the folders in which the user may not make and remove files."""
    some = (folders[start : start + MANY] for start in range(0, len(folders), MANY))
    return [path for one in some for path in _find([*map(str, one), "-maxdepth", "0"], user)]


def unwritable_below(folders: Sequence[Path], user: User) -> list[Path]:
    """Return the folders at and below these in which the user may not make files.

    And Git's logs, which grow in place, that the user may not write.
    """
    there = [str(one) for one in folders if one.is_dir()]
    kinds = ("(", "-type", "d", "-o", "-path", "*/logs/*", ")")
    return _find([*there, "-ignore_readdir_race", *kinds], user) if there else []


def _find(words: Sequence[str], user: User) -> list[Path]:
    argv = ["find", *words, *_FOUND]
    env = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    out = process.run(argv, cwd=Path("/"), timeout=LIMIT, env=env, user=user)
    return [Path(one) for one in out.split("\0") if one]
