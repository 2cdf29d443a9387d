"""What people were told, and what they still are to be told: a fsynced file an app.

That a condition is new, and the message about it, are written as one: killed anywhere,
nobody is told of it never, and seldom twice. To each target messages go in their order; one
that fails is tried again a few times, with pauses, then given up and shown.

It is written by the holder of the app's noticing lock only; anybody may look.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from worker import durable
from worker.clock import Clock, parse, rfc3339
from worker.decisions import is_ahead, pause
from worker.deployment import new_id
from worker.errors import SheetanchorError
from worker.notify.conditions import Message

TRIES = 5  # of one message at one target
MOST = 50  # messages that wait; the oldest go

Entry = dict[str, Any]


@dataclass(frozen=True)
class Outbox:
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

    def notice(
        self, box: Entry, messages: Collection[Message], targets: Collection[str], **seen: Any
    ) -> None:
        """Note what was seen, and that these messages are to go to these targets."""
        now = self.clock.now()
        new = [
            {
                "id": new_id(now),
                "at": rfc3339(now),
                **asdict(one),
                "waits": {name: {"tries": 0, "retry_at": None} for name in targets},
            }
            for one in messages
            if targets
        ]
        changed = {**box, **seen, "messages": [*box["messages"], *new][-MOST:]}
        if changed != box:
            self._write(changed)

    def due(self, targets: Collection[str]) -> list[tuple[Entry, str]]:
        """Return what is to go where now: to each target only the first that it lacks."""
        messages = self.read()["messages"]
        firsts = [
            (next((m for m in messages if name in m["waits"]), None), name) for name in targets
        ]
        return [(one, name) for one, name in firsts if one and self._is_due(one["waits"][name])]

    def sent(self, message: str, target: str) -> None:
        """Note that a message is there; what failed at that target is over."""
        box = self._without(message, target)
        self._write({**box, "failed": {k: v for k, v in box["failed"].items() if k != target}})

    def failed(self, message: str, target: str, error: SheetanchorError) -> None:
        """Note that it is not: it is tried again, but not for ever."""
        box, now = self.read(), self.clock.now()
        [tries] = [one["waits"][target]["tries"] for one in box["messages"] if one["id"] == message]
        failure: Entry = {"at": rfc3339(now), "why": error.message, "remedy": error.remedy}
        if tries + 1 >= TRIES:
            box = self._without(message, target)
            failure["given_up"] = True
        else:
            again = {"tries": tries + 1, "retry_at": rfc3339(now + pause(tries + 1))}
            self._set(box, message, target, again)
        self._write({**box, "failed": {**box["failed"], target: failure}})

    def view(self) -> Entry | None:
        """Return what people see: what failed where, and how much still waits."""
        box = durable.read_or_set_aside(self.path, _parsed)
        return {"failed": box["failed"], "waiting": len(box["messages"])} if box else None

    def forget(self, targets: Collection[str]) -> None:
        """Let messages wait for no target that is not there any more."""
        box = self.read()
        waits = {name for one in box["messages"] for name in one["waits"]} | box["failed"].keys()
        for name in waits - {*targets}:
            box["failed"].pop(name, None)
            for one in box["messages"]:
                one["waits"].pop(name, None)
        if waits - {*targets}:
            self._write({**box, "messages": [one for one in box["messages"] if one["waits"]]})

    def _is_due(self, wait: Mapping[str, Any]) -> bool:
        return wait["retry_at"] is None or not is_ahead(wait["retry_at"], self.clock.now())

    def _without(self, message: str, target: str) -> Entry:
        box = self.read()
        for one in box["messages"]:
            if one["id"] == message:
                one["waits"].pop(target, None)
        return {**box, "messages": [one for one in box["messages"] if one["waits"]]}

    def _set(self, box: Entry, message: str, target: str, wait: Entry) -> None:
        for one in box["messages"]:
            if one["id"] == message:
                one["waits"][target] = wait

    def _write(self, box: Entry) -> None:
        durable.write(self.path, json.dumps(box, indent=1).encode())


_NEW: Entry = {"since": None, "ended": [], "conditions": {}, "messages": [], "failed": {}}


def _parsed(text: str) -> Entry:
    found: Entry = json.loads(text)
    if found.keys() != _NEW.keys():
        raise ValueError("it is no record of what people were told")
    parse(found["since"])
    for one in found["messages"]:
        for wait in one["waits"].values():
            if type(wait["tries"]) is not int or (wait["retry_at"] and not parse(wait["retry_at"])):
                raise ValueError("it does not say what waits for what")
    return found
