"""One secret in a file of its own, which only its owner can read."""

import stat
from pathlib import Path

from worker.errors import ConfigError


def read(path: Path, key: str, what: str) -> str:
    """Return the secret, without the line end. Raises ConfigError naming `key`, without it."""
    try:
        mode, text = path.stat().st_mode, path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{key}: {path} could not be read: {error}.",
            remedy=f"Write {what} there, and run chmod 600 {path}",
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{key}: {path} can be read by others.", remedy=f"Run chmod 600 {path}")
    return text
