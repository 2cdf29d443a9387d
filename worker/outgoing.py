"""What has to leave this host after each good backup: its copies, and the ping.

A fsynced file an app: which backup went to each target last, and what failed since. What
is due follows from it and the newest backup alone, so nobody has to ask for anything, and
nothing that was asked for can be lost: whoever died, the newest backup is not there yet.

It is written by the holder of the app's slow lock only; anybody may look.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from worker import durable
from worker.clock import Clock, parse, rfc3339
from worker.config import App
from worker.decisions import is_ahead, pause
from worker.state import State

PING = "ping"
PINGS = 5  # tries for one backup; a copy is tried for ever
Entry = dict[str, Any]


@dataclass(frozen=True)
class Outgoing:
    """What goes out of one app; `names` are its targets, and `ping`."""

    path: Path
    names: tuple[str, ...]
    clock: Clock

    @classmethod
    def of(cls, app: App, state: State, clock: Clock) -> Self:
        """Return the app's."""
        ping = (PING,) if app.backup.ping_url else ()
        return cls(state.outgoing, (*app.backup.offsite, *ping), clock)

    def due(self, newest: str | None) -> list[str]:
        """Return where the newest verified backup is to go now. Only looks."""
        if newest is None:
            return []
        entries = self._read()
        return [name for name in self.names if self._is_due(_entry(entries, name), newest)]

    def begin(self, name: str) -> Entry:
        """Note that it begins; return the entry as it was, for `put_back`.

        Should its process die, it is due again after a pause that grows.
        """
        before = _entry(self._read(), name)
        tries = before["tries"] + 1
        self.put_back(name, {**before, "tries": tries, "retry_at": self._after(tries)})
        return before

    def put_back(self, name: str, entry: Entry) -> None:
        """Have the entry as it was."""
        found = {**self._read(), name: entry}
        durable.write(self.path, json.dumps(found, indent=1).encode())

    def sent(self, name: str, backup: str) -> None:
        """Note that a backup is there."""
        now = rfc3339(self.clock.now())
        self.put_back(name, _NEW | {"backup": backup, "at": now, "tries": 0})

    def failed(self, name: str, backup: str | None, why: str, remedy: str) -> None:
        """Note that it is not; it is tried again after a pause."""
        failure = {"at": rfc3339(self.clock.now()), "backup": backup, "why": why, "remedy": remedy}
        before = _entry(self._read(), name)
        tries = max(before["tries"], 1)
        again = {"tries": tries, "retry_at": self._after(tries)}
        if name == PING and tries >= PINGS:
            again = {"tries": 0, "retry_at": None, "backup": backup}
        self.put_back(name, {**before, "failed": failure, **again})

    def complained(self, name: str, why: str, remedy: str) -> None:
        """Note what failed there beside the copy, which is there; the next one ends it."""
        before = _entry(self._read(), name)
        now = rfc3339(self.clock.now())
        failure = {"at": now, "backup": before["backup"], "why": why, "remedy": remedy}
        self.put_back(name, {**before, "failed": failure})

    def view(self) -> list[dict[str, Any]]:
        """Return what people see: the last good end, and the failure since, of each target."""
        entries = self._read()
        shown = ("backup", "at", "failed", "retry_at")
        return [
            {"target": name} | {key: _entry(entries, name)[key] for key in shown}
            for name in self.names
        ]

    def _is_due(self, entry: Entry, newest: str) -> bool:
        if entry["backup"] == newest:
            return False
        return entry["retry_at"] is None or not is_ahead(entry["retry_at"], self.clock.now())

    def _after(self, tries: int) -> str:
        return rfc3339(self.clock.now() + pause(tries))

    def _read(self) -> dict[str, Entry]:
        return durable.read_or_set_aside(self.path, _parsed) or {}


_NEW: Entry = {"backup": None, "at": None, "failed": None, "tries": 0, "retry_at": None}


def _entry(entries: Mapping[str, Entry], name: str) -> Entry:
    return entries.get(name, _NEW)


def _parsed(text: str) -> dict[str, Entry]:
    entries: dict[str, Entry] = json.loads(text)
    for entry in entries.values():
        if entry.keys() != _NEW.keys() or type(entry["tries"]) is not int:
            raise ValueError("it is no list of what went out")
        if entry["retry_at"]:
            parse(entry["retry_at"])
    return entries
