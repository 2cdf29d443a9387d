"""Journal, act, journal: one loop for deployments and for their way back.

`run` goes forward; whatever stops it short of the commit leads to `go_back`.
Recovery calls `go_back` or `finish` for a process that died. Every path ends
in one `end` record with one final status.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from worker import ending, failpoints, plan, surroundings
from worker.adapters import process
from worker.clock import rfc3339
from worker.deployment import Status
from worker.errors import (
    CancelledError,
    HeldError,
    SheetanchorError,
    SkippedError,
    UnavailableError,
)
from worker.journal import Journal, Record
from worker.stepping import STEPS
from worker.steps import fence, health, leaving, switch
from worker.steps.attempt import Attempt, Facts

TRIES = 3  # of each step of the way back, while Docker and MongoDB answer
PATIENCE = 600.0  # seconds that Docker and MongoDB are waited for
PAUSE = 2.0  # seconds between two tries

Watcher = Callable[[Record], None]


class Pipeline:
    """Runs one attempt. `watch` sees every record once it is on disk."""

    def __init__(self, attempt: Attempt, journal: Journal, watch: Watcher) -> None:
        self._attempt = attempt
        self._journal = journal
        self._watch = watch
        self._blamed: tuple[BaseException, UnavailableError | None] | None = None
        self._switched: float | None = None  # when this process began `switch`, monotonic

    def take_over(self) -> None:
        """Read the facts of a dead process from the journal."""
        facts = self._attempt.facts
        for record in self._journal.records():
            step = f"{record['phase']}.{record['step']}"
            if record["event"] == "done" or "branch_head" in record["facts"]:
                facts[step] = dict(record["facts"])

    def run(self) -> Status:
        """Go forward to the commit, or back to where it was; return the final status."""
        attempt = self._attempt
        try:
            with process.given_up(attempt.refuse_cancelled):
                self._forward()
        except (SkippedError, HeldError) as error:
            if attempt.cancels.of(attempt.id):  # a hold alone would let it come back
                return self.go_back(error)
            return self._end(Status.SKIPPED, error=None, reason=str(error), decisive=False)
        except KeyboardInterrupt:
            stopped = CancelledError("It was interrupted.", remedy="Deploy again.")
            return self.finish() if self._committed() else self.go_back(stopped)
        except Exception as error:  # noqa: BLE001 - whatever it was, the way back answers
            return self.finish() if self._committed() else self.go_back(error)
        return self.finish()

    def _forward(self) -> None:
        attempt = self._attempt
        for name in plan.steps(attempt.deployment.kind, attempt.deployment.options):
            attempt.refuse_cancelled()
            for reserve in attempt.reserves:
                reserve.refill()
            if name == "fence":
                fence.check(attempt)  # before its intent: nothing is stopped yet
            if name == "switch":
                self._switched = attempt.clock.monotonic()
            if name in plan.FENCES:
                attempt.cancels.close(attempt.id, rfc3339(attempt.clock.now()))
            self._step("deploy", name)

    def _committed(self) -> bool:
        return any(
            (record["step"], record["event"]) == ("commit", "done")
            for record in self._records("deploy")
        )

    def go_back(self, cause: BaseException) -> Status:
        """Undo what had begun; every step is tried again if it can help."""
        attempt, begun = self._attempt, plan.begun(self._records("deploy"))
        if begun.isdisjoint(plan.FENCES) and (wish := attempt.cancels.of(attempt.id)):
            cause = wish.error()  # also when we died of it, or the remote hung meanwhile
        error, blamed = self._error(cause), self._blame(cause)
        attempt.say(f"{error['step']} failed: {error['message']}")
        attempt.phase = "way_back"
        steps = ending.way_back(attempt, begun, self._records("way_back"))
        done = {r["step"] for r in self._records("way_back") if r["event"] == "done"}
        if "halt" in steps and "halt" not in done and self._served_long():
            return self._leave_alone(error)
        try:
            for name in steps:
                if name not in done:
                    self._patiently(name)
        except Exception as failure:  # noqa: BLE001 - whatever it was, a person must look
            if "switch" in steps:
                lost = ending.not_put_back(attempt, steps, self._records("way_back"))
                return self._inconsistent(error, str(failure), lost, decisive=blamed is None)
            ending.names_left(attempt, str(failure))
        ending.went_back(attempt, self._records("way_back"), error["message"], blamed=blamed)
        return self._end(self._went_back(steps, cause), error=error, decisive=blamed is None)

    def finish(self) -> Status:
        """Note what runs now, then end: after the commit there is no way back."""
        attempt = self._attempt
        ending.note_success(attempt, attempt.new_release())
        leaving.remove_left(attempt)
        return self._end(Status.SUCCEEDED, error=None)

    def _step(self, phase: str, name: str) -> None:
        attempt, reached = self._attempt, partial(failpoints.reach, phase, name)
        reached("before_intent")
        self._record(phase, name, "intent", {})
        reached("after_intent")
        attempt.note = lambda facts: self._record(phase, name, "intent", facts)
        try:
            found = STEPS[name](attempt)
        except BaseException as error:
            theirs = {"surroundings": True} if phase == "deploy" and self._blame(error) else {}
            failure = {"failure": self._error(error)["message"], **theirs}
            self._record(phase, name, "failed", failure)
            raise
        reached("after_effect")
        attempt.facts[f"{phase}.{name}"] = found
        self._record(phase, name, "done", found)
        reached("after_record")

    def _patiently(self, name: str) -> None:
        """Run a step of the way back; while Docker or MongoDB is away, no try counts."""
        attempt, tries = self._attempt, 0
        patience = surroundings.Patience(attempt, PATIENCE, PAUSE)
        ending.refuse_deadly(self._records("way_back"), name)
        while True:
            try:
                return self._step("way_back", name)
            except Exception as error:
                tries += not patience.was_theirs(error)
                if tries == TRIES:
                    raise
                attempt.say(f"trying {name} again: {error}")
                if name == "health":  # the daemon may have stopped what `up` found running
                    self._patiently("switch")
            attempt.clock.sleep(PAUSE)

    def _blame(self, error: BaseException) -> UnavailableError | None:
        """Return what of the surroundings is to blame for an error; asked once for each."""
        if self._blamed is None or self._blamed[0] is not error:
            self._blamed = error, surroundings.to_blame(self._attempt, error)
        return self._blamed[1]

    def _went_back(self, steps: tuple[str, ...], cause: BaseException) -> Status:
        if "switch" in steps:
            return Status.ROLLED_BACK
        return Status.CANCELLED if isinstance(cause, CancelledError) else Status.FAILED

    def _served_long(self) -> bool:
        """Whether promise 6 forbids the way back. A living process measures it itself.

        By a clock that nobody can set; of a dead one's switch only the journal's times tell.
        """
        attempt, asked = self._attempt, self._attempt.app.health
        measured = attempt.clock.monotonic() - (self._switched or 0.0)
        return plan.served_long(
            self._journal.records(),
            rfc3339(attempt.clock.now()),
            timeout=max(asked.timeout, attempt.fact("switch", "health_budget", 0.0)),
            stable_for=asked.stable_for,
            measured=None if self._switched is None else measured,
        )

    def _leave_alone(self, error: dict[str, Any]) -> Status:
        """Promise 6: commit what has served people for long, or call a person."""
        attempt = self._attempt
        attempt.phase = "deploy"
        try:
            surroundings.wait_for_both(attempt, PATIENCE, PAUSE)
            if target := attempt.new_release():
                switch.confirm(attempt, target)
                health.wait_until_stable(attempt, target)
        except Exception as failure:  # noqa: BLE001 - whatever it was, a person must look
            why = f"The new version has served for long, and is not well: {failure}"
            return self._inconsistent(error, why)
        attempt.say("the new version has served people for long and is well: it stays")
        self._record("deploy", "commit", "done", {"new_warnings": [error["message"]]})
        return self.finish()

    def _inconsistent(
        self, error: dict[str, Any], why: str, lost: str | None = None, *, decisive: bool = True
    ) -> Status:
        attempt = self._attempt
        lost = ending.owed(attempt) or lost
        if decisive:  # or the same head would come again once a person has mended the app
            ending.decide(attempt, Status.FAILED, error["message"])
        both = {**error, "message": f"{error['message']} Then the way back failed: {why}"}
        both["remedy"] = ending.what_to_do(attempt.app.name, lost)
        ending.hold_inconsistent(attempt, why, lost)
        return self._end(Status.INCONSISTENT, error=both)

    def _end(
        self,
        status: Status,
        *,
        error: dict[str, Any] | None,
        reason: str | None = None,
        decisive: bool = True,
    ) -> Status:
        attempt = self._attempt
        if decisive:
            ending.decide(attempt, status, error["message"] if error else reason)
        facts = {"status": str(status), "error": error}
        if reason:
            facts["reason"] = reason
        facts |= ending.outage(attempt, self._journal.records())
        failpoints.reach("after", "end", "after_effect")
        self._record("after", "end", "end", facts)
        failpoints.reach("after", "end", "after_record")
        attempt.say(f"{status}{f': {reason}' if reason else ''}")
        return status

    def _error(self, cause: BaseException) -> dict[str, Any]:
        intents = [r["step"] for r in self._records("deploy") if r["event"] == "intent"]
        step = intents[-1] if intents else "accept"
        redact, blamed = self._attempt.redact, self._blame(cause)
        if isinstance(cause, SheetanchorError):
            message, remedy = cause.message, cause.remedy
        else:
            message, remedy = (
                f"{type(cause).__name__}: {cause}",
                "This is a fault of sheetanchor's.",
            )
        if blamed and blamed is not cause:
            message, remedy = f"{message} {blamed.message}", blamed.remedy
        return {"step": step, "message": redact(message), "remedy": redact(remedy)}

    def _records(self, phase: str) -> list[Record]:
        return [record for record in self._journal.records() if record["phase"] == phase]

    def _record(self, phase: str, step: str, event: str, facts: Facts) -> None:
        self._watch(self._journal.append(phase, step, event, facts))
