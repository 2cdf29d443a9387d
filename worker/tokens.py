"""API tokens: random, shown once, kept as SHA-256 in `state_dir/tokens.json`.

A hash without salt is enough for 256 random bits. The file is 0600, replaced
as a whole and fsynced; who reads it sees all of a change or nothing.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from worker import durable
from worker.clock import Clock, SystemClock, rfc3339
from worker.errors import ConfigError, NotFoundError, UsageError

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")
START = "sa_"  # so that secret scanners can find a leaked one
BITS = 256


class Role(StrEnum):
    """What a token may do; each may do what the ones before it may."""

    READ = "read"
    DEPLOY = "deploy"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Return whether this role may do what needs the other."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret, as the audit log shows it."""

    name: str
    role: Role
    created_at: str  # RFC 3339 UTC


class Tokens:
    """The tokens of a state folder."""

    def __init__(self, state_dir: Path, clock: Clock | None = None) -> None:
        self.path = state_dir / "tokens.json"
        self._clock = clock or SystemClock()
        self._seen: tuple[int, ...] | None = None
        self._known: dict[str, Token] = {}

    def create(self, name: str, role: str) -> str:
        """Add a token and return it: the only time that anyone sees it.

        Raises UsageError for a name that is taken or no name, or an unknown role.
        """
        if not NAME.fullmatch(name) or role not in list(Role):
            raise UsageError(
                f"There can be no token {name!r} with the role {role!r}.",
                remedy=f"Use letters, digits and . _ @ -, and a role of {', '.join(Role)}.",
            )
        token = START + secrets.token_urlsafe(BITS // 8)
        with self._changing() as known:
            if name in (other.name for other in known.values()):
                raise UsageError(
                    f"A token {name} exists.", remedy="Revoke it, or pick another name."
                )
            known[_digest(token)] = Token(name, Role(role), rfc3339(self._clock.now()))
        return token

    def list(self) -> list[Token]:
        """Return the tokens, by name. Raises ConfigError when their file is unreadable."""
        return sorted(self._load().values(), key=lambda token: token.name)

    def revoke(self, name: str) -> None:
        """Remove a token; it is refused from now on. Raises NotFoundError."""
        with self._changing() as known:
            gone = [digest for digest, token in known.items() if token.name == name]
            if not gone:
                raise NotFoundError(f"There is no token {name}.", remedy="Run `token list`.")
            for digest in gone:
                del known[digest]

    def check(self, token: str) -> Token | None:
        """Return whose token it is, or None; takes the same time wherever it is in the file."""
        digest, found = _digest(token), None
        for known, owner in self._load().items():
            if hmac.compare_digest(known, digest):
                found = owner
        return found

    def _load(self) -> Mapping[str, Token]:
        """Read the file if it is another than the one read last."""
        try:
            stat = self.path.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen != self._seen:
                self._known, self._seen = _parse(self.path), seen
        except FileNotFoundError:
            self._known, self._seen = {}, None
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return self._known

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Token]]:
        """Yield the tokens to change, alone, and write them when that went well."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = dict(self._load())
            yield known
            entries = [_entry(digest, token) for digest, token in known.items()]
            durable.write(self.path, json.dumps(entries, indent=2).encode())
        finally:
            os.close(lock)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _entry(digest: str, token: Token) -> dict[str, str]:
    return {
        "sha256": digest,
        "name": token.name,
        "role": str(token.role),
        "created_at": token.created_at,
    }


def _parse(path: Path) -> dict[str, Token]:
    try:
        return {
            entry["sha256"]: Token(entry["name"], Role(entry["role"]), entry["created_at"])
            for entry in json.loads(path.read_bytes())
        }
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"The tokens in {path} could not be read: {error}.",
        remedy="Put the file back from a backup, or remove it and create tokens anew.",
    )
