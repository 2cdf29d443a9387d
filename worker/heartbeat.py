"""The address that is told of each good backup: who watches it notices when none comes.

Whoever knows it can keep a watcher quiet, so it is a secret: it stands in the environment
or in a file of its own, or, where its owner wants it so, in the configuration.
"""

import os
import re
from pathlib import Path

from worker import secret_files
from worker.errors import ConfigError

SHAPES = "env:NAME, the path of a file that holds it, or an address"
_NAMED = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|/[^\x00-\x1f\x7f]+|https?://[^\s\x00-\x1f]+")
_PARTS = re.compile(r"(?P<scheme>https?://)(?:(?P<user>[^/?#]*)@)?(?P<host>[^/?#]*)(?P<rest>.*)")
_ADDRESS = re.compile(r"https?://[^\s\x00-\x1f]+")


def check(named: str | None) -> str | None:
    """Return what names the address, as it was given. Raises ValueError."""
    if named is not None and not _NAMED.fullmatch(named):
        raise ValueError(f"should be {SHAPES}")
    return named


def address(named: str) -> str:
    """Return the address. Raises ConfigError, without it."""
    if named.startswith("env:"):
        found = os.environ.get(named.removeprefix("env:"), "")
    else:
        found = (
            secret_files.read(Path(named), "backup.ping_url", "the address")
            if named.startswith("/")
            else named
        )
    if not _ADDRESS.fullmatch(found):
        raise ConfigError(
            f"backup.ping_url: {named} holds no http:// or https:// address.",
            remedy="Set it, for the worker too, or leave ping_url out.",
        )
    return found


def public_part(url: str) -> str:
    """Return what of an address people may see: where it leads."""
    found = _PARTS.match(url)
    return f"{found['scheme']}{found['host']}" if found else ""


def secret_parts(url: str) -> list[str]:
    """Return what of an address nobody may see."""
    found = _PARTS.match(url)
    return [found["user"] or "", found["rest"].strip("/")] if found else []
