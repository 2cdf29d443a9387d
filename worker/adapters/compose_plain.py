"""Reads of an env file what cannot be read in two ways, as Compose would, without starting it.

To start Compose costs 90 ms of processor time, and a deployment asked it four such questions,
one of them while the app was stopped. The danger is another password than Compose's: quotes,
escapes, comments and references have rules of their own, which changed between its versions.
So all of the file has to be plain: names, `=`, and values of characters that mean nothing to
Compose. With one line that is not, or a text of another shape, Compose is asked.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_ASSIGNED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=([A-Za-z0-9_./:@%+,?&=~*;|^!()<>{}-]*)")
_REFERENCE = r"\$([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*)(?:(:?[-+])([A-Za-z0-9_./]*))?\}"
_PART = re.compile(rf"\$\$|{_REFERENCE}", re.ASCII)
_LITERAL = re.compile(r"[ !-#%-~]*")  # printable ASCII without `$`
# What the environment that Compose gets, or Compose itself, sets: it wins over the file.
_OTHERS = re.compile(r"PATH|HOME|PWD|LANG|COMPOSE_.*|DOCKER_.*")


def interpolated(texts: Sequence[str], env_file: Path) -> list[str] | None:
    """Return texts as Compose reads them with this env file; None where it must be asked."""
    values = _plain(env_file)
    if values is None or not all(map(_is_plain, texts)):
        return None
    return [_PART.sub(lambda found: _value(found, values), text) for text in texts]


def _plain(env_file: Path) -> dict[str, str] | None:
    """Return what a file sets, if every line of it is plain and sets something new."""
    try:
        lines = env_file.read_bytes().decode("ascii").split("\n")
    except (OSError, UnicodeDecodeError):
        return None
    lines = [line for line in lines if line and not line.startswith("#")]
    found = [_ASSIGNED.fullmatch(line) for line in lines]
    values = {one[1]: one[2] for one in found if one}
    if len(values) < len(lines) or any(map(_OTHERS.fullmatch, values)):
        return None
    return values


def _is_plain(text: str) -> bool:
    names = (name for one in _PART.finditer(text) for name in one.groups()[:2] if name)
    return bool(_LITERAL.fullmatch(_PART.sub("", text))) and not any(map(_OTHERS.fullmatch, names))


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    """Return what stands for a reference; of what is not set, nothing."""
    bare, braced, operator, other = found.groups()
    if not (name := bare or braced):
        return "$"
    value = values.get(name)
    counts = value if (operator or "").startswith(":") else value is not None
    if operator and operator.endswith("+"):
        return other if counts else ""
    return (value or "") if counts or not operator else other
