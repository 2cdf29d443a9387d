"""Tells people how a deployment goes: log file, ledger, screen. Best effort.

Nothing here can fail or hold up a deployment: the journal is the truth, and a
worker imports it into the ledger later. All text is redacted by value first.
"""

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from worker.clock import Clock, rfc3339
from worker.deployment import Deployment, view
from worker.errors import UnavailableError
from worker.journal import Journal, Record
from worker.ledger import Ledger
from worker.redact import Passing, plain

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
PASSING_EVERY = 15.0  # seconds without a line in the log
PAUSE = 5.0  # seconds without asking a Redis that did not answer


class Screen(Protocol):
    """Where a person watches."""

    def record(self, record: Record) -> None:
        """Show that a step began, ended or failed."""

    def line(self, text: str) -> None:
        """Show a line of the log."""


class Report:
    """The report of one deployment."""

    def __init__(
        self,
        deployment: Deployment,
        journal: Journal,
        log: Path,
        *,
        ledger: Ledger | None,
        redact: Callable[[str], str],
        clock: Clock,
        screen: Screen | None = None,
    ) -> None:
        self._deployment = deployment
        self._journal = journal
        self._log = log
        self._ledger = ledger
        self._redact = redact
        self._clock = clock
        self._screen = screen
        self._ask_again = 0.0
        self._passed = clock.monotonic()
        self._failed: tuple[str, str] | None = None  # the step that is tried again, and why
        self._said: set[str] = set()  # of and since its failure

    def record(self, record: Record) -> None:
        """Publish the deployment as the journal has it now."""
        shown = view(self._deployment, self._journal.records())
        self._try(lambda ledger: ledger.publish(cleaned(shown, self._redact), self._deployment))
        if self._is_told(record):
            return
        if record["event"] != "end":
            why = record["facts"].get("failure")
            said = f"{record['phase']}.{record['step']} {record['event']}"
            self._write(f"{said}: {why}" if why else said)
        if self._screen:
            self._screen.record(record)

    def _is_told(self, record: Record) -> bool:
        """Return whether it is only the next try of a step, every 2 s for up to 10 minutes."""
        step, why = f"{record['phase']}.{record['step']}", record["facts"].get("failure")
        last = self._failed
        if record["event"] == "intent":
            return last is not None and last[0] == step
        self._failed = (step, str(why)) if record["event"] == "failed" else None
        if self._failed and self._failed == last:
            return True
        self._said = {f"{record['step']} failed: {why}"}
        return False

    def line(self, text: str) -> None:
        """Write one line to the log, redacted, control characters escaped.

        Of passing lines the log keeps one now and then, so that who follows it sees it move.
        """
        if self._failed:
            if text in self._said:
                return
            self._said.add(text)
        passing, now = isinstance(text, Passing), self._clock.monotonic()
        clean = plain(self._redact(text))
        if not passing or now - self._passed >= PASSING_EVERY:
            self._write(text)
            self._passed = now
        if self._screen:
            self._screen.line(Passing(clean) if passing else clean)

    def _write(self, text: str) -> None:
        clean = plain(self._redact(text))
        stamped = f"{rfc3339(self._clock.now())} {clean}"
        with contextlib.suppress(OSError):  # a full disk: the journal has what matters
            _append(self._log, stamped + "\n")
        self._try(lambda ledger: ledger.append_log(self._deployment.id, stamped))

    def _try(self, act: Callable[[Ledger], None]) -> None:
        if self._ledger is None or self._clock.monotonic() < self._ask_again:
            return
        try:
            act(self._ledger)
        except UnavailableError:  # a worker imports the journal once Redis is back
            self._ask_again = self._clock.monotonic() + PAUSE


def _append(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, _APPEND, 0o600), "a") as file:
        file.write(text)


FREE_TEXT = ("message", "author", "by", "reason", "error", "warnings", "steps")


def cleaned(shown: Mapping[str, Any], redact: Callable[[str], str]) -> dict[str, Any]:
    """Return a view with its free text redacted; ids and statuses stay what they are."""
    return {
        key: _cleaned(value, redact) if key in FREE_TEXT else value for key, value in shown.items()
    }


def _cleaned(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _cleaned(inner, redact) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(inner, redact) for inner in value]
    return redact(value) if isinstance(value, str) else value
