"""What a person orders about an app: freeze, unfreeze, resume, approve.

The command line does so at once; the API leaves requests, which `worker.carrying` has
done here. Everything here needs the app's lock, and can be done twice.
"""

import logging
from dataclasses import dataclass, field

from worker.adapters.engine import Engine
from worker.approvals import Approvals
from worker.clock import Clock, rfc3339
from worker.config import App
from worker.decisions import Decisions
from worker.deployment import Deployment, Status, new_id, refused_for, view
from worker.errors import NotFoundError, UnavailableError
from worker.holds import Hold, refuse_inconsistent, refuse_lost_data
from worker.journal import Journal
from worker.ledger import Ledger
from worker.requests import APPROVE, FREEZE, RESUME, Request
from worker.state import State
from worker.steps import ownership

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Orders:
    """The orders about one app."""

    app: App
    state: State
    ledger: Ledger | None
    clock: Clock
    engine: Engine = field(default_factory=Engine)

    def freeze(self, *, by: str, at: str, reason: str) -> None:
        """Have nothing deployed by itself until `unfreeze`. Raises HeldError."""
        refuse_inconsistent(self.app.name, self._decisions.read()["hold"])
        self._decisions.hold("frozen", by=by, at=at, reason=reason, head=None)
        self._tell("app.frozen", by, reason)

    def end(self, kind: str, *, by: str, at: str, reason: str | None) -> str | None:
        """End the hold `frozen` or `inconsistent`; have the branch's head looked at.

        Who calls this recovers afterwards: a way back that failed is only opened again here.
        A reason for lost data says that it is right as it is: the way back then leaves it alone;
        and nothing is changed at all where a person has the app running again.
        Pushes were skipped meanwhile, and GitHub does not send them again. Returns the
        id of the deployment that looks, None when the app was not held so, or Redis is
        down: then the next look at the branch finds the head. Raises HeldError, and
        UsageError when a reason is needed.
        """
        hold = self._decisions.read()["hold"] or {}
        if kind == "frozen":
            refuse_inconsistent(self.app.name, hold)
        else:
            refuse_lost_data(self.app.name, hold, reason)
        if hold.get("kind") != kind:
            return None
        looks = self._look(kind, by)  # first: a hold must not end with its pushes forgotten
        if unfinished := self._unfinished(hold):
            if unfinished.ended():  # else it was opened again before, and the hold ends with it
                keeps_data = bool(hold.get("restore"))
                unfinished.reopen(by=by, reason=reason, keeps_data=keeps_data)
        else:
            self._decisions.lift(kind, by=by, at=at, reason=reason)
        self._tell(f"app.{'unfrozen' if kind == 'frozen' else 'resumed'}", by, reason)
        return looks

    def approve(self, deployment: str, *, by: str, at: str) -> tuple[str, list[str]]:
        """Approve that for which a deployment was refused; return revision and privileges.

        Raises UsageError when it was not refused for any.
        """
        journal = Journal(self.state.journals / f"{deployment}.jsonl", self.clock)
        revision, privileges = _refused_for(journal)
        Approvals(self.state.approvals).approve(
            revision, privileges, deployment=deployment, by=by, at=at
        )
        self._tell("privileges.approved", by, "; ".join(privileges))
        return revision, privileges

    def obey(self, asked: Request) -> None:
        """Do what a request says. Raises what the orders do."""
        if asked.verb == FREEZE:
            self.freeze(by=asked.by, at=asked.at, reason=asked.reason or "frozen by hand")
        elif asked.verb == APPROVE:
            self.approve(str(asked.deployment), by=asked.by, at=asked.at)
        else:
            kind = "inconsistent" if asked.verb == RESUME else "frozen"
            self.end(kind, by=asked.by, at=asked.at, reason=asked.reason)

    @property
    def _decisions(self) -> Decisions:
        return Decisions(self.state.decisions)

    def _look(self, kind: str, by: str) -> str | None:
        """Queue a deployment of the branch's head, which is judged as usual."""
        now = self.clock.now()
        looking = Deployment(
            id=new_id(now),
            app=self.app.name,
            kind="deploy",
            trigger="reconcile",
            by=by,
            queued_at=rfc3339(now),
            reason="the freeze was ended" if kind == "frozen" else "a person resumed the app",
            options={"force": False, "pull": True},
        )
        try:
            if self.ledger:
                return self.ledger.accept(looking, guid=None)[0]
        except UnavailableError as error:
            log.warning("head.unqueued", extra={"app": self.app.name, "error": error.message})
        return None

    def _unfinished(self, hold: Hold) -> Journal | None:
        """Return the deployment whose way back is to be gone on with; None: all is as it is."""
        if not hold.get("deployment") or (hold.get("restore") and self._runs()):
            return None
        journal = Journal(self.state.journals / f"{hold['deployment']}.jsonl", self.clock)
        ends = [one["facts"] for one in journal.records()[-1:] if one["event"] == "end"]
        mended = any(end["status"] != Status.INCONSISTENT for end in ends)
        return None if mended else journal

    def _runs(self) -> bool:
        """Whether a container of the app runs. Raises UnavailableError when Docker is away."""
        project = ownership.project_of(self.app, self.state, self.engine)
        there = self.engine.containers(project) if project else []
        return any(one.running for one in there)

    def _tell(self, event: str, by: str, reason: str | None) -> None:
        log.info(event, extra={"app": self.app.name, "by": by, "reason": reason})


def _refused_for(journal: Journal) -> tuple[str, list[str]]:
    asked = journal.deployment()
    if asked is None:
        raise NotFoundError(f"There is no deployment {journal.path.stem}.", remedy="Name another.")
    records = journal.records()
    refused_for(view(asked, records))
    facts = next(one["facts"] for one in reversed(records) if "privileges" in one["facts"])
    return facts["revision"], facts["privileges"]
