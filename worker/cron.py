"""When something is due: five fields, as cron has them, in the server's own time zone.

croniter finds the times. What it takes beyond the five fields (seconds, `L`, `#`, hashes)
is refused, and every wrong field is told at once with what may have been meant.

Times are the server's local ones. Where the clock goes forward a skipped time comes as
much earlier (02:30 at 01:30); where it goes back a time comes once, the first time.
"""

import difflib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, least, most, names; the first name stands for `least`.
FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("weekday", 0, 7, _DAYS),
)
_WORDS = {
    "hourly": "0 * * * *",
    "daily": "0 2 * * *",
    "nightly": "0 2 * * *",
    "midnight": "0 0 * * *",
    "weekly": "0 4 * * 0",
    "monthly": "0 4 1 * *",
}
_PART = re.compile(r"((?:\*|[a-z0-9]+)(?:-[a-z0-9]+)?)(?:/([0-9]+))?")
_CLOCK = re.compile(r"([0-9]{1,2})[:.]([0-9]{2})")


def checked(text: str) -> str:
    """Return the five fields as they are; "" means off. Raises ValueError for wrong ones."""
    fields = text.lower().split()
    if not fields:
        return ""
    if len(fields) != len(FIELDS):
        listed = ", ".join(name for name, *_ in FIELDS)
        raise ValueError(f"should have five fields: {listed}{_hint(_meant(text))}")
    faults, meant = [], []
    for field, (name, least, most, names) in zip(fields, FIELDS, strict=True):
        wrong, right = _field(field, least, most, names)
        faults += [f"{name} {part} should be {least} to {most}{_or(names)}" for part in wrong]
        meant.append(right)
    if faults:
        raise ValueError(f"{'; '.join(faults)}{_hint(' '.join(meant))}")
    _refuse_never(fields)
    return " ".join(fields)


Cron = Annotated[str, AfterValidator(checked)]


def next_after(cron: str, moment: datetime) -> datetime:
    """Return the first time, in UTC, that is due after the moment."""
    from croniter import croniter  # noqa: PLC0415 - slow to import, and seldom needed

    # Without a zone croniter only counts; the system then says which moment a time is.
    times = croniter(cron, moment.astimezone().replace(tzinfo=None))
    while True:
        found: datetime = times.get_next(datetime).astimezone(UTC)
        if found > moment:  # not so in the hour that comes twice
            return found


def _refuse_never(fields: list[str]) -> None:
    try:
        next_after(" ".join(fields), datetime(2026, 1, 1, tzinfo=UTC))
    except ValueError as error:
        meant = " ".join([*fields[:2], "28", *fields[3:]])
        raise ValueError(f"names a day that no month has{_hint(meant)}") from error


def _field(field: str, least: int, most: int, names: tuple[str, ...]) -> tuple[list[str], str]:
    """Return the wrong parts of a field, and the field as it may have been meant."""
    wrong, meant = [], []
    for part in field.split(","):
        right = _part(part, least, most, names)
        wrong += [repr(part)] if right != part else []
        meant.append(right)
    return wrong, ",".join(meant)


def _part(part: str, least: int, most: int, names: tuple[str, ...]) -> str:
    """Return the part as it should be: itself when nothing is wrong with it."""
    found = _PART.fullmatch(part)
    if found is None:
        return "*"
    ends = [_nearest(end, least, most, names) for end in found[1].split("-")]
    if len(ends) > 1 and "*" in ends:
        ends = ["*"]
    if len(ends) > 1 and names != _DAYS and not _rises(ends, least, names):
        ends.reverse()  # but fri-mon is a long weekend
    step = f"/{min(max(int(found[2]), 1), most)}" if found[2] else ""
    return "-".join(ends) + step


def _rises(ends: list[str], least: int, names: tuple[str, ...]) -> bool:
    low, high = (names.index(end) + least if end in names else int(end) for end in ends)
    return low <= high


def _nearest(value: str, least: int, most: int, names: tuple[str, ...]) -> str:
    if value in ("*", *names):
        return value
    if value.isdigit():
        number = int(value)
        if least <= number <= most:
            return value
        return str(least if number in (most + 1, 0) else most)  # 24 o'clock is 0
    close = difflib.get_close_matches(value, names, n=1, cutoff=0.4)
    begins = [name for name in names if value.startswith(name)]
    return (begins or close or [str(least)])[0]


def _or(names: tuple[str, ...]) -> str:
    return f", or {names[0]} to {names[-1]}" if names else ""


def _meant(text: str) -> str | None:
    """Return the five fields that were meant by something else, if that can be told."""
    if found := _CLOCK.search(text):
        hour, minute = int(found[1]), int(found[2])
        return f"{minute} {hour} * * *" if hour < 24 and minute < 60 else None  # noqa: PLR2004
    return next(_guesses(text.lower()), None)


def _guesses(text: str) -> Iterator[str]:
    close = difflib.get_close_matches(text.strip("@ "), _WORDS, n=1, cutoff=0.6)
    yield from (_WORDS[word] for word in close)
    fields = text.split()
    padded = [*fields, *["*"] * (len(FIELDS) - len(fields))]
    # Six begin with seconds. What is short lacks its end.
    candidate = " ".join(fields[-len(FIELDS) :] if len(fields) > len(FIELDS) else padded)
    try:
        yield checked(candidate)
    except ValueError:
        return


def _hint(meant: str | None) -> str:
    return f' (did you mean "{meant}"?)' if meant else ""
