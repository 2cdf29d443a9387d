"""What is due by its cron text: the daily backup, the drill. A fsynced file an app.

The danger is in the clock and in what was missed. A server that was down for a month owes
one backup, not thirty; a clock that was set must cause neither a burst nor silence; what
fails is tried again, with pauses; what kills its process is, too, and not at once. So the
file holds the moment up to which everything is handled, and the next due time counts from
there: whatever lies between is one.

It is written by the holder of the app's slow lock only; anybody may look.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from worker import cron, durable
from worker.clock import Clock, parse, rfc3339
from worker.config import App
from worker.decisions import is_ahead, pause
from worker.state import State

BACKUP, DRILL = ("backup", "drill")
SET_BACK = timedelta(hours=1)  # a clock set back by less repeats nothing that was done
Entry = dict[str, Any]


@dataclass(frozen=True)
class Schedule:
    """The schedule of one app; `crons` holds what is switched on."""

    path: Path
    crons: Mapping[str, str]
    clock: Clock

    @classmethod
    def of(cls, app: App, state: State, clock: Clock) -> Self:
        """Return the app's."""
        crons = {BACKUP: app.backup.schedule, DRILL: app.backup.drill}
        on = {kind: text for kind, text in crons.items() if text}
        return cls(state.schedule, on, clock)

    def due(self) -> list[str]:
        """Return what is to be done now. Only looks."""
        now, entries = self.clock.now(), self._read()
        return [kind for kind in self.crons if _is_due(self._settled(kind, entries, now), now)]

    def is_settled(self) -> bool:
        """Return whether `settle` has nothing to do. Only looks."""
        now, entries = self.clock.now(), self._read()
        return entries == {kind: self._settled(kind, entries, now) for kind in self.crons}

    def settle(self) -> None:
        """Begin to count: for what is new or was changed, and after a clock was set back."""
        now, entries = self.clock.now(), self._read()
        settled = {kind: self._settled(kind, entries, now) for kind in self.crons}
        if settled != entries:
            self._write(settled)

    def begin(self, kind: str) -> Entry:
        """Note that it begins; return the entry as it was, for `put_back`.

        Should its process die, it is due again after a pause that grows.
        """
        before = self._read()[kind]
        tries = before["tries"] + 1
        self.put_back(kind, {**before, "tries": tries, "retry_at": self._after(tries)})
        return before

    def put_back(self, kind: str, entry: Entry) -> None:
        """Have the entry as it was."""
        self._write(self._read() | {kind: entry})

    def succeeded(self, kind: str) -> None:
        """Note its good end: everything up to now is handled."""
        now = rfc3339(self.clock.now())
        self._end(kind, handled=now, succeeded_at=now, failed=None, tries=0, retry_at=None)

    def failed(self, kind: str, why: str, remedy: str, *, again: bool) -> None:
        """Note its failure: it is tried `again` after a pause, or at its next time."""
        now = rfc3339(self.clock.now())
        failure = {"at": now, "why": why, "remedy": remedy}
        if again:
            tries = self._read()[kind]["tries"]
            self._end(kind, failed=failure, retry_at=self._after(tries))
        else:
            self._end(kind, handled=now, failed=failure, tries=0, retry_at=None)

    def view(self) -> dict[str, Any]:
        """Return what people see: of each kind when it comes next, last went well, failed."""
        now, entries = self.clock.now(), self._read()
        return {
            kind: _shown(self._settled(kind, entries, now), now) if kind in self.crons else None
            for kind in (BACKUP, DRILL)
        }

    def _settled(self, kind: str, entries: Mapping[str, Entry], now: datetime) -> Entry:
        entry, text = entries.get(kind, _NEW), self.crons[kind]
        if entry["cron"] == text and parse(entry["handled"]) - now <= SET_BACK:
            return entry
        return {**entry, "cron": text, "handled": rfc3339(now), "tries": 0, "retry_at": None}

    def _after(self, tries: int) -> str:
        return rfc3339(self.clock.now() + pause(max(tries, 1)))

    def _end(self, kind: str, **changes: Any) -> None:
        self.put_back(kind, self._read()[kind] | changes)

    def _read(self) -> dict[str, Entry]:
        return durable.read_or_set_aside(self.path, _parsed) or {}

    def _write(self, entries: Mapping[str, Entry]) -> None:
        durable.write(self.path, json.dumps(entries, indent=1).encode())


_NEW: Entry = dict.fromkeys(("cron", "handled", "tries", "retry_at", "failed", "succeeded_at"))


def _is_due(entry: Entry, now: datetime) -> bool:
    if entry["retry_at"]:
        return not is_ahead(entry["retry_at"], now)
    return cron.next_after(entry["cron"], parse(entry["handled"])) <= now


def _shown(entry: Entry, now: datetime) -> dict[str, Any]:
    regular = cron.next_after(entry["cron"], max(parse(entry["handled"]), now))
    return {
        "cron": entry["cron"],
        "next": entry["retry_at"] or rfc3339(regular),
        "succeeded_at": entry["succeeded_at"],
        "failed": entry["failed"],
    }


def _parsed(text: str) -> dict[str, Entry]:
    entries: dict[str, Entry] = json.loads(text)
    for entry in entries.values():
        if entry.keys() != _NEW.keys() or type(entry["tries"]) is not int:
            raise ValueError("it is no schedule")
        for moment in filter(None, (entry["handled"], entry["retry_at"])):
            parse(moment)
    return entries
