"""What GitHub was told last, and what it said: a fsynced file an app.

It begins with the moment from which on there is something to tell: who switches this on
does not want the history of a year. What was told may be told twice, if its process died
in between, but a deployment is not created twice: that it begins is written down first.

It is written by the holder of the app's telling lock only; anybody may look.
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from worker import durable
from worker.clock import Clock, parse, rfc3339
from worker.decisions import LONGEST_PAUSE, is_ahead
from worker.errors import LimitedError, SheetanchorError

FIRST_PAUSE = timedelta(seconds=10)

Entry = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """The file of one app."""

    path: Path
    clock: Clock

    def read(self) -> Entry:
        """Return what it holds; from now on, when there is none yet."""
        found = durable.read_or_set_aside(self.path, _parsed)
        if found is None:
            found = {**_NEW, "since": rfc3339(self.clock.now())}
            self._write(found)
        return found

    def must_wait(self, told: Entry) -> bool:
        """Return whether the next try is still to come."""
        return told["retry_at"] is not None and is_ahead(told["retry_at"], self.clock.now())

    def note(self, kind: str, name: str, entry: Entry) -> None:
        """Note what was told of one revision or deployment; what failed before is over."""
        self._entry(kind, name, entry, tries=0, retry_at=None, failed=None)

    def begin(self, name: str) -> None:
        """Note that a deployment is about to be created."""
        self._entry("deployments", name, {"begun": True, "number": None, "told": None})

    def declined(self, kind: str, name: str, entry: Entry, error: SheetanchorError) -> None:
        """Note what GitHub does not want to hear: it is not told again."""
        failed = self._failure(error)
        self._entry(kind, name, entry, tries=0, retry_at=None, failed=failed)

    def failed(self, error: SheetanchorError) -> None:
        """Note that it could not be told: all is tried again after a pause."""
        told = self.read()
        tries = told["tries"] + 1
        pause = min(FIRST_PAUSE * 2 ** min(tries - 1, 10), LONGEST_PAUSE)
        if isinstance(error, LimitedError):
            pause = timedelta(seconds=error.wait)
        again = rfc3339(self.clock.now() + pause)
        self._write({**told, "tries": tries, "retry_at": again, "failed": self._failure(error)})

    def keep(self, told: Entry, **names: Any) -> None:
        """Forget what nobody is told of any more, by kind."""
        kept = {
            kind: {name: entry for name, entry in told[kind].items() if name in names[kind]}
            for kind in names
        }
        if any(kept[kind] != told[kind] for kind in kept):
            self._write({**told, **kept})

    def view(self) -> Entry | None:
        """Return what people see: since when something is told, and what failed last."""
        found = durable.read_or_set_aside(self.path, _parsed)
        shown = ("since", "failed", "retry_at")
        return {name: found[name] for name in shown} if found else None

    def _entry(self, kind: str, name: str, entry: Entry, **changes: Any) -> None:
        told = self.read()
        self._write({**told, kind: {**told[kind], name: entry}, **changes})

    def _failure(self, error: SheetanchorError) -> Entry:
        now = rfc3339(self.clock.now())
        return {"at": now, "why": error.message, "remedy": error.remedy}

    def _write(self, told: Entry) -> None:
        durable.write(self.path, json.dumps(told, indent=1).encode())


_NEW: Entry = {
    "since": None,
    "statuses": {},
    "deployments": {},
    "tries": 0,
    "retry_at": None,
    "failed": None,
}


def _parsed(text: str) -> Entry:
    found: Entry = json.loads(text)
    if found.keys() != _NEW.keys() or type(found["tries"]) is not int:
        raise ValueError("it is no record of what GitHub was told")
    parse(found["since"])
    if found["retry_at"]:
        parse(found["retry_at"])
    if not all(isinstance(found[kind], dict) for kind in ("statuses", "deployments")):
        raise TypeError("statuses and deployments are to be tables")
    return found
