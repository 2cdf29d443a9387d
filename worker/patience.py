"""A push that waits for its CI: whether it still does, and what people are told of that."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from worker import ci
from worker.ci import Result, Results, Verdict
from worker.clock import parse
from worker.config import App
from worker.deployment import Deployment
from worker.state import State

NONE_CAME = "and none was delivered within"  # what the reason says when it is late


@dataclass(frozen=True)
class Patience:
    """What the gate of one app waits for. A person's deployment waits for nothing."""

    app: App
    state: State

    def verdict(self, one: Deployment) -> tuple[Verdict, Result | None]:
        """Return whether a queued deployment may run, and which run of CI failed."""
        asked = one.by_person or one.options.get("force") or one.requested_revision is None
        if asked:
            return Verdict.PASSED, None
        return self.of(one.requested_revision or "")

    def of(self, revision: str) -> tuple[Verdict, Result | None]:
        """Return the verdict on a revision, and which run of CI failed."""
        wanted = self.app.gate.require_ci
        return ci.judge(wanted, Results(self.state.ci).of(revision) if wanted else [])

    def reason(self, one: Deployment, now: datetime) -> str:
        """Return why it waits; after the time limit also what to look at."""
        wanted, within = self.app.gate.require_ci, self.app.gate.ci_within
        which = f" ({', '.join(wanted)})" if isinstance(wanted, tuple) else ""
        reason = f"It waits for a successful CI run{which} of {(one.requested_revision or '')[:12]}"
        if now - parse(one.queued_at) < timedelta(minutes=within):
            return f"{reason}."
        return (
            f"{reason}, {NONE_CAME} {within:g} minutes. See that the run went through and that"
            " the webhook at GitHub sends workflow runs, or deploy by hand."
        )
