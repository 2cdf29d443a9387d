"""Notices what is wrong with an app, or well again, and has people told.

It looks at what is on disk anyway: journals, the schedule's and the drill's records, what
went out, and the disks. So nobody has to report anything here, no deployment waits for it,
and what happened while no worker ran is told once one does.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from worker import configfile
from worker.adapters import disk, process
from worker.backups import drilled, undone
from worker.clock import Clock
from worker.config import App, Config
from worker.errors import CommandError, UnavailableError
from worker.notify import conditions as rules
from worker.notify.conditions import BACKUP_FAILED, DEPLOYING, Condition, Message
from worker.notify.outbox import Outbox
from worker.outgoing import Outgoing
from worker.redact import plain
from worker.schedule import BACKUP, Schedule
from worker.sightings import Sightings
from worker.state import State

WITHIN = 30.0  # seconds for one message to one target
SENDER = [sys.executable, "-m", "worker.notify.send"]
TOP = Path(__file__).parents[2]  # the packages, also where they are not installed
LOW_SHARE, LOW = 0.05, 5 << 30  # a disk is low with less than this share free, and these bytes
ENOUGH = 1.2  # times that, and it is well again

log = logging.getLogger(__name__)

View = Mapping[str, Any]


@dataclass(frozen=True)
class Noticing:
    """What one app tells people; its caller holds the app's noticing lock."""

    config: Config
    app: App
    sightings: Sightings
    clock: Clock

    def notice(self) -> None:
        """Note what is new, with the messages about it."""
        box, targets = self._outbox.read(), self.config.notify.urls
        views, _ = self.sightings.look()
        ended = [one for one in rules.ended(views.values()) if one["finished_at"] >= box["since"]]
        new = [one for one in ended if _name(one) not in box["ended"]]
        found = dict(box["conditions"])
        said = [message for one in new for message in self._of_deployment(one, found)]
        levels = dict(self._levels(found))
        levels["CI"] = rules.of_late_ci(views.values()), "CI answers"
        said += self._of_levels(levels, found)
        wanted = [
            self._clean(message) for message in said if message.event in self.config.notify.on
        ]
        for message in wanted:
            log.info("notice.made", extra={"app": self.app.name, "kind": message.event})
        names = [_name(one) for one in ended]
        self._outbox.notice(box, wanted, targets, ended=names, conditions=found)

    def send(self) -> None:
        """Send what is due, one message to each target; a failure is noted, raised to nobody."""
        self._outbox.forget(self.config.notify.urls)
        for message, target in self._outbox.due(self.config.notify.urls):
            extra = {"app": self.app.name, "kind": message["event"], "target": target}
            argv = [*SENDER, self.app.name, message["id"], target]
            try:
                answer = process.run(argv, cwd=TOP, timeout=WITHIN, env=os.environ)
                self._judge(answer, target)
            except (CommandError, UnavailableError) as error:
                self._outbox.failed(message["id"], target, _told(error, target))
                log.warning("notice.failed", extra={**extra, "why": _told(error, target).message})
            else:
                self._outbox.sent(message["id"], target)
                log.info("notice.sent", extra=extra)

    def _judge(self, answer: str, target: str) -> None:
        if why := json.loads(answer)["why"]:
            raise UnavailableError(
                f"{target} did not take a message: {why}.",
                remedy="See that its address is right and this host reaches it.",
            )

    def _of_deployment(self, one: View, found: dict[str, str]) -> Iterator[Message]:
        """Yield what a deployment's end is to people, and note it in the conditions."""
        app, link = self.app.name, self._link(one["id"])
        bad, before = rules.of_deployment(one), found.pop(DEPLOYING, None)
        if bad is None:
            if before is None:
                yield rules.succeeded(app, one, link)
            else:
                yield rules.well_again(app, "deploying works", link)
            return
        found[DEPLOYING] = bad.fingerprint
        if bad.fingerprint != before:
            yield rules.told(app, bad, link)

    def _of_levels(
        self, levels: dict[str, tuple[Condition | None, str]], found: dict[str, str]
    ) -> Iterator[Message]:
        """Yield what changed of what is so or not; what nobody looks at any more is forgotten."""
        for subject in found.keys() - levels.keys() - {DEPLOYING}:
            del found[subject]
        for subject, (bad, was) in levels.items():
            before = found.pop(subject, None)
            if bad:
                found[subject] = bad.fingerprint
            if bad and bad.fingerprint != before:
                yield rules.told(self.app.name, bad, self._link(bad.deployment))
            if before and not bad:
                yield rules.well_again(self.app.name, was, None)

    def _levels(self, known: dict[str, str]) -> Iterator[tuple[str, tuple[Condition | None, str]]]:
        """Yield subject -> what is wrong there now, and in words that it is well."""
        of, state = rules.of_failure, State.where(self.config, self.app)
        scheduled = Schedule.of(self.app, state, self.clock).view()[BACKUP] or {}
        failed = scheduled.get("failed")
        yield BACKUP, (of(BACKUP_FAILED, "backup FAILED", failed), "the backup works")
        drill = (drilled.read(state.drill) or {}).get("failed")
        yield "drill", (of(rules.DRILL_FAILED, "drill FAILED", drill), "the drill passes")
        for one in undone.read(state.undone):
            bad = of(BACKUP_FAILED, f"{one['verb']} FAILED", one)
            yield f"asked {one['verb']} {one['backup']}", (bad, f"{one['verb']} works")
        for one in Outgoing.of(self.app, state, self.clock).view():
            bad = of(BACKUP_FAILED, f"copy to {one['target']} FAILED", one["failed"])
            yield f"to {one['target']}", (bad, f"copying to {one['target']} works")
        for folder in _one_a_disk(state.home, self.app.backup_dir, self.app.checkout):
            subject = f"disk of {folder}"
            yield subject, (_low(folder, was_low=subject in known), f"{subject} has room")

    def _clean(self, message: Message) -> Message:
        """Return it without secrets, and without what a chat would act on."""
        redact = configfile.redactor(self.app)
        title = _harmless(redact(message.title))
        body = "\n".join(_harmless(line) for line in redact(message.body).splitlines())
        return replace(message, title=title, body=body)

    def _link(self, deployment: str | None) -> str | None:
        server = self.config.server.public_url
        return f"{server}/api/v1/deployments/{deployment}/log" if server and deployment else None

    @property
    def _outbox(self) -> Outbox:
        return Outbox(State.where(self.config, self.app).notices, self.clock)


def _name(one: View) -> str:
    """Return what names a deployment's end: one that was resumed has several."""
    return f"{one['id']} {one['finished_at']}"


def _told(error: CommandError | UnavailableError, target: str) -> UnavailableError:
    """Return what is told of a failure: what a child printed may hold the address."""
    if isinstance(error, UnavailableError):
        return error
    return UnavailableError(
        f"{target} did not take a message within {WITHIN:g} s, or the sending died.",
        remedy="See that its address is right and this host reaches it.",
    )


def _one_a_disk(*folders: Path) -> list[Path]:
    return list({disk.device(one): one for one in reversed(folders)}.values())


def _low(folder: Path, *, was_low: bool) -> Condition | None:
    total, free = disk.total_bytes(folder), disk.free_bytes(folder)
    if free >= min(total * LOW_SHARE, LOW) * (ENOUGH if was_low else 1):
        return None
    return Condition(
        rules.DISK_LOW,
        f"disk of {folder} is LOW",
        f"{free >> 20} of {total >> 20} MiB are free.",
        "Free some space: without room no backup is made, and so nothing is deployed.",
    )


_HARMLESS: list[tuple[str, str]] = [("@", "@\u200b"), ("<", "["), (">", "]")]


def _harmless(text: str) -> str:
    """Return a line that mentions nobody and formats nothing: build output is anybody's text."""
    for bad, good in _HARMLESS:
        text = text.replace(bad, good)
    return plain(text)
