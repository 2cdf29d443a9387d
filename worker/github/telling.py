"""Tells GitHub what it should show and does not show yet, in order, one after the other.

No deployment waits for this, and none fails by it: what cannot be told is tried again with
pauses, and by then only the newest state is told.
"""

import logging
from dataclasses import dataclass
from typing import Any

from worker import secret_files
from worker.adapters.github import GitHub
from worker.clock import Clock
from worker.config import App, Config
from worker.errors import DeclinedError, SheetanchorError
from worker.github import wanted
from worker.github.told import Told
from worker.github.wanted import INACTIVE, Links
from worker.sightings import Sightings
from worker.state import State

log = logging.getLogger(__name__)

Entry = dict[str, Any]


@dataclass(frozen=True)
class Telling:
    """What one app tells; its caller holds the app's telling lock."""

    config: Config
    app: App
    sightings: Sightings
    clock: Clock

    def tell(self) -> bool:
        """Tell all that is due, one try of each; return whether there was something to tell."""
        told = self._told.read()
        if self._told.must_wait(told):
            return False
        views, asked = self.sightings.look()
        links = Links(self.config.server.public_url, self.app.public_url)
        statuses = wanted.statuses(self.app.name, views, told["since"], links)
        deployments = wanted.deployments(views, told["since"], links)
        if asked:
            deployments |= _lost(told["deployments"], deployments)
            self._told.keep(told, statuses=statuses, deployments=deployments)
        due = [(n, s) for n, s in statuses.items() if told["statuses"].get(n) != s]
        changed = [
            (name, one)
            for name, one in deployments.items()
            if _is_due(told["deployments"].get(name), one["status"])
        ]
        if not due and not changed:
            return False
        try:
            self._send(due, changed)
        except SheetanchorError as error:
            self._told.failed(error)
            why = error.message
            log.warning("github.failed", extra={"app": self.app.name, "why": why})
        return True

    def _send(self, statuses: list[tuple[str, Entry]], changed: list[tuple[str, Entry]]) -> None:
        github = self._github()
        for revision, status in statuses:
            self._status(github, revision, status)
        for name, one in changed:
            self._deployment(github, name, one)

    def _github(self) -> GitHub:
        asked = self.config.github
        if asked.token_file is None:
            raise DeclinedError("There is no token.", remedy="Set github.token_file.")
        token = secret_files.read(asked.token_file, "github.token_file", "the token")
        return GitHub(asked.api_url, self.app.repository, self.clock, token)

    def _status(self, github: GitHub, revision: str, status: Entry) -> None:
        extra = {"app": self.app.name, "revision": revision, "state": status["state"]}
        try:
            github.set_status(revision, status)
        except DeclinedError as error:
            self._told.declined("statuses", revision, status, error)
            log.warning("status.declined", extra={**extra, "why": error.message})
        else:
            self._told.note("statuses", revision, status)
            log.info("status.told", extra=extra)

    def _deployment(self, github: GitHub, name: str, one: Entry) -> None:
        status, extra = one["status"], {"app": self.app.name, "deployment": one["deployment"]}
        try:
            number = self._number(github, name, one)
            if number is not None:
                github.set_deployment_status(number, status)
        except DeclinedError as error:
            entry = {"begun": True, "number": None, "told": status, "declined": True}
            self._told.declined("deployments", name, entry, error)
            log.warning("deployment.declined", extra={**extra, "why": error.message})
        else:
            self._told.note("deployments", name, {"begun": True, "number": number, "told": status})
            log.info("deployment.told", extra={**extra, "state": status["state"]})

    def _number(self, github: GitHub, name: str, one: Entry) -> int | None:
        """Return GitHub's number of the deployment, once created; None where none is needed.

        Who died while creating it finds what became of that by its payload.
        """
        entry = self._told.read()["deployments"].get(name)
        if entry and entry["number"] is not None:
            return int(entry["number"])
        mark, environment = {"deployment": one["deployment"]}, self.app.name
        if entry and (found := github.find_deployment(one["revision"], environment, mark)):
            return found
        if one["status"]["state"] == INACTIVE:
            return None
        self._told.begin(name)
        number = github.create_deployment(
            {
                "ref": one["revision"],
                "environment": environment,
                "description": f"sheetanchor {one['deployment']}",
                "payload": mark,
                "auto_merge": False,
                "required_contexts": [],
            }
        )
        self._told.note("deployments", name, {"begun": True, "number": number, "told": None})
        return number

    @property
    def _told(self) -> Told:
        return Told(State.where(self.config, self.app).github, self.clock)


def _is_due(entry: Entry | None, status: Entry) -> bool:
    """Return whether this state is to be told: none is created only to be called inactive."""
    if entry is None:
        return bool(status["state"] != INACTIVE)
    return not entry.get("declined") and bool(entry["told"] != status)


def _lost(told: dict[str, Entry], deployments: dict[str, Entry]) -> dict[str, Entry]:
    """Return as inactive what waited when GitHub was told, and what no queue has any more."""
    found = {}
    for name, entry in told.items():
        if name not in deployments and (entry["told"] or {}).get("state") == "queued":
            deployment, _, revision = name.partition(":")
            status = {**entry["told"], "state": INACTIVE, "description": "Its place was lost."}
            found[name] = {"deployment": deployment, "revision": revision, "status": status}
    return found
