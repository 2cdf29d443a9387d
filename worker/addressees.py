"""Where people hear of it: Apprise's addresses, each of which is a secret.

An address holds the token of a chat or the password of a mailbox. So the configuration only
names it, and it is read by the process that sends, from the environment or a file.
"""

import os
import re
from pathlib import Path

from worker import secret_files
from worker.errors import ConfigError

_NAMED = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|/[^\x00-\x1f\x7f]+")


def check(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return what names the addresses, as it was given. Raises ValueError."""
    for number, name in enumerate(names, 1):
        if not _NAMED.fullmatch(name):  # it may be an address: it is not repeated
            raise ValueError(f"entry {number} should be env:NAME or the path of a file (0600)")
    return names


def addresses(name: str) -> list[str]:
    """Return the addresses, of a file one a line. Raises ConfigError, without them."""
    if name.startswith("env:"):
        text = os.environ.get(name.removeprefix("env:"), "")
    else:
        text = secret_files.read(Path(name), "notify.urls", "Apprise's address")
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise ConfigError(
            f"notify.urls: {name} holds no address.",
            remedy="Set it, for the worker too, or leave it out.",
        )
    return found
