"""Keeps secrets out of what is shown, and hostile text from acting on a terminal.

Redaction is by value, not by name: whatever the env files and secret files
hold must not appear, whoever prints it. Values of 8 characters and more count;
shorter ones are words that lines are made of.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Self

SHORTEST = 8  # characters
REDACTED = "[redacted]"

# C0 but the tab, DEL, C1, bidi marks and overrides, line separators, lone surrogates.
_CONTROL = re.compile(
    r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_PASSWORD = re.compile(r"://[^/?#\s]*?:([^/?#\s]+)@")  # of an address
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?[A-Za-z_][\w.-]*\s*=\s*(.*?)\s*$")


class Passing(str):
    """A line worth a moment: the next one takes its place. No log needs all of them."""

    __slots__ = ()


def redacted(line: str, redact: Callable[[str], str]) -> str:
    """Return a line redacted; a passing one stays that."""
    return Passing(redact(line)) if isinstance(line, Passing) else redact(line)


class Redactor:
    """Replaces every secret value, longest first, also in its quoted forms."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = frozenset(values)
        forms = {form for value in self._values for form in _forms(value)}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    @classmethod
    def from_env_text(cls, *texts: str) -> Self:
        """Return a redactor of all values of these env files."""
        return cls(value for text in texts for value in env_values(text))

    def adding(self, values: Iterable[str]) -> "Redactor":
        """Return a redactor of these values too."""
        return Redactor(self._values.union(values))

    def __call__(self, text: str) -> str:
        """Return the text without any of the values."""
        return self._pattern.sub(REDACTED, text) if self._pattern else text


def env_values(text: str) -> Iterator[str]:
    """Yield the values of an env file, without quotes, and the password of each address."""
    for line in text.splitlines():
        if found := _ASSIGNMENT.match(line):
            value = found[1]
            bare = value.split(" #", 1)[0].rstrip()
            yield from (value, bare, value.strip("'\""), bare.strip("'\""))
            yield from _passwords(bare.strip("'\""))


def plain(text: str) -> str:
    r"""Return the text with control characters escaped: an ESC is the four letters \x1b."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def stripped(text: str) -> str:
    """Return the text without control characters."""
    return _CONTROL.sub("", text)


def _passwords(value: str) -> Iterator[str]:
    for password in _PASSWORD.findall(value):
        yield from (password, _unquoted(password))


def _forms(value: str) -> Iterator[str]:
    """Yield the value as it may stand in a line: bare, in a URL, in JSON, or one line of it."""
    for part in (value, *value.splitlines()):
        if len(part.strip()) >= SHORTEST:
            quoted = _quoted(part.strip())
            yield from (part.strip(), quoted, quoted.replace("%20", "+"))
            yield json.dumps(part.strip())[1:-1]


def _quoted(text: str) -> str:
    """Return the text as RFC 3986 puts it into an address."""
    octets = text.encode(errors="replace")
    return "".join(chr(octet) if octet in _UNRESERVED else f"%{octet:02X}" for octet in octets)


def _unquoted(text: str) -> str:
    octets = re.sub(
        rb"%([0-9A-Fa-f]{2})",
        lambda found: bytes.fromhex(found[1].decode()),
        text.encode(errors="replace"),
    )
    return octets.decode(errors="replace")
