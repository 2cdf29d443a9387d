"""What waits for its turn on one app: the queue, without what was cancelled or superseded.

The queue is in Redis and may be lost or late; the journals are the truth. Whoever is
ended here unrun has a journal too, so that this is known even if Redis loses all.
Everything here needs the app's lock, but `pending`, `any` and `untold`.
"""

import contextlib
import logging
from dataclasses import dataclass

from worker import configfile
from worker.adapters.git import Checkout
from worker.cancels import Cancel, Cancels
from worker.ci import Result, Results, Verdict
from worker.clock import Clock, rfc3339
from worker.config import App
from worker.decisions import Decisions, in_turn
from worker.deployment import Deployment, Status, view
from worker.errors import CommandError, UnavailableError
from worker.journal import Facts, Journal
from worker.ledger import Ledger
from worker.patience import Patience
from worker.report import cleaned
from worker.requests import Requests
from worker.state import State

SWEPT_AFTER = 60.0  # seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Waiting:
    """The waiting deployments of one app."""

    app: App
    state: State
    ledger: Ledger | None
    clock: Clock

    def next(self) -> Deployment | None:
        """Return the deployment to run now; end the cancelled and the superseded."""
        Cancels(self.state.cancels).sweep(self._is_long_over)
        self.end_cancelled()
        Results(self.state.ci).sweep(self.clock.now())
        queued = self.queued()
        _, superseded = in_turn(queued)
        for old, newest in superseded:
            facts = {"status": str(Status.SUPERSEDED), "superseded_by": newest.id}
            self._end(old, facts)
        over = [old for old, _ in superseded]
        return next((one for one in queued if one not in over and self._is_let_through(one)), None)

    def any(self) -> bool:
        """Return whether something is to be run, ended, or carried out."""
        return bool(self._ready() or self.pending() or Requests(self.state.requests).all())

    def untold(self) -> bool:
        """Return whether people are not told yet why something waits, or not that it is late."""
        waiting = [one for one in self.queued() if self._waits(one)]
        try:
            return any(self._told(one) != self._why(one) for one in waiting)
        except UnavailableError:
            return False

    def _ready(self) -> list[Deployment]:
        """Return what is queued, but for the newest push if that waits for its CI."""
        queued = self.queued()
        newest = [one for one in queued if not one.by_person][-1:]
        return [one for one in queued if one not in newest or not self._waits(one)]

    def _waits(self, one: Deployment) -> bool:
        return self.patience.verdict(one)[0] is Verdict.WAITS

    @property
    def patience(self) -> Patience:
        """What a push waits for."""
        return Patience(self.app, self.state)

    def _is_let_through(self, one: Deployment) -> bool:
        """Return whether it may run now; end what CI refused, say of the others why they wait."""
        verdict, failed = self.patience.verdict(one)
        if failed:
            self._end_refused(one, failed)
        if verdict is Verdict.WAITS:
            self._tell(one)
        return verdict is Verdict.PASSED

    def _end_refused(self, one: Deployment, failed: Result) -> None:
        """End what failed in CI, and decide its head: it is not tried again."""
        redact = configfile.redactor(self.app)
        message = f"CI failed: {failed.name} ended with {failed.conclusion}."
        remedy = f"Mend it and push again, or run `sheetanchor deploy {self.app.name}`."
        shown = {"step": "accept", "message": redact(message), "remedy": remedy}
        if head := self._head(one):
            decisions, now = Decisions(self.state.decisions), rfc3339(self.clock.now())
            decisions.decide(head, str(Status.FAILED), one.id, now, shown["message"])
        self._end(one, {"status": str(Status.FAILED), "error": shown})

    def _tell(self, one: Deployment) -> None:
        """Show why it waits; the queue keeps it."""
        why = self._why(one)
        with contextlib.suppress(UnavailableError):
            if self.ledger and self._told(one) != why:
                shown = cleaned(view(one), configfile.redactor(self.app))
                self.ledger.publish(shown | {"reason": why}, one)
                extra = {"app": self.app.name, "deployment": one.id, "why": why}
                log.warning("deployment.waits", extra=extra)

    def _told(self, one: Deployment) -> str | None:
        shown = self.ledger.get(one.id) if self.ledger else None
        return shown["reason"] if shown else None

    def _why(self, one: Deployment) -> str:
        return configfile.redactor(self.app)(self.patience.reason(one, self.clock.now()))

    def queued(self) -> list[Deployment]:
        """Return what is queued, oldest first; nothing while Redis is down."""
        try:
            queued = self.ledger.queued(self.app.name) if self.ledger else []
        except UnavailableError:
            return []
        return [one for one in queued if not self._seen(one)]

    def pending(self) -> list[Cancel]:
        """Return the cancels of deployments that have not begun."""
        wishes = Cancels(self.state.cancels).all()
        return [wish for wish in wishes if not self._journal(wish.deployment).records()]

    def end_cancelled(self) -> list[Deployment]:
        """End what was cancelled before it began, and decide its head; return it."""
        wishes = self.pending()
        for wish in wishes:
            error = wish.error()
            why = configfile.redactor(self.app)(error.message)
            if head := self._head(wish.deployment):
                decisions = Decisions(self.state.decisions)
                decisions.decide(
                    head, str(Status.CANCELLED), wish.deployment.id, rfc3339(self.clock.now()), why
                )
            shown = {"step": "accept", "message": why, "remedy": error.remedy}
            self._end(wish.deployment, {"status": str(Status.CANCELLED), "error": shown})
        return [wish.deployment for wish in wishes]

    def _end(self, one: Deployment, facts: Facts) -> None:
        """End one that never ran: on disk, then for all to see."""
        journal = Journal.begin(self.state.journals, one, self.clock)
        journal.append("after", "end", "end", facts)
        extra = {"app": self.app.name, "deployment": one.id, "status": facts["status"]}
        log.info("deployment.ended", extra=extra)
        self._seen(one)

    def _seen(self, deployment: Deployment) -> bool:
        """Return whether it has run already: its end did not reach the ledger."""
        records = self._journal(deployment).records()
        if not records:
            return False
        with contextlib.suppress(UnavailableError):
            shown = cleaned(view(deployment, records), configfile.redactor(self.app))
            if self.ledger:
                self.ledger.publish(shown, deployment)
        return True

    def _is_long_over(self, deployment: str) -> bool:
        """Not at its end: somebody who saw it run a moment ago must still find it closed."""
        journal = Journal(self.state.journals / f"{deployment}.jsonl", self.clock)
        if not journal.ended():
            return False
        return abs(self.clock.now().timestamp() - journal.path.stat().st_mtime) > SWEPT_AFTER

    def _journal(self, deployment: Deployment) -> Journal:
        return Journal(self.state.journals / f"{deployment.id}.jsonl", self.clock)

    def _head(self, cancelled: Deployment) -> str | None:
        """Return the branch's head if the cancelled deployment was to bring it, else None.

        The head that another push announced must stay undecided: else it were lost.
        """
        if cancelled.kind != "deploy" or not cancelled.options.get("pull", True):
            return None
        checkout = Checkout(self.app.checkout, self.app.branch, self.app.clone_url)
        known, wanted = _known_head(checkout), cancelled.requested_revision
        if wanted is None:
            return None if self._other_push(cancelled) else known
        if wanted == known or cancelled.by_person:
            return wanted if wanted == known else None
        if not checkout.exists() or not checkout.has_ref(wanted):
            return wanted  # newer than all that was fetched
        with contextlib.suppress(UnavailableError, CommandError):
            return wanted if checkout.fetch() == wanted else None  # the branch may have gone back
        return None

    def _other_push(self, than: Deployment) -> bool:
        return any(not one.by_person and one.id != than.id for one in self.queued())


def _known_head(checkout: Checkout) -> str | None:
    """Return the branch's head as it was fetched last."""
    if not checkout.exists():
        return None
    try:
        return checkout.revision(f"refs/sheetanchor/remote/{checkout.branch}")
    except CommandError:
        return None
