"""A person's work that deployments set aside in the checkout, and the refs that hold none.

Each deployment leaves `refs/sheetanchor/<id>`: what the checkout's files were, as a
commit, for its way back. Most hold nothing of anybody's, and each keeps a revision's
files in the clone for ever, so those go. The danger is a person's edits or commits,
which are nowhere else once a new version is in the checkout: a ref that holds such is
never removed here, and `status` names it; but one whose work a way back put into the
checkout again goes after `keep_safety` days. Whoever is in doubt keeps it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from worker.adapters.git import Checkout
from worker.clock import Clock, parse
from worker.config import App
from worker.deployment import Status
from worker.journal import Journal
from worker.state import State

BRANCH = "-branch"  # ends the ref that keeps where the branch pointed
CAME_BACK = (Status.ROLLED_BACK, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True)
class Aside:
    """One ref below `refs/sheetanchor/`: whose it was, and what of a person's it holds."""

    ref: str
    commit: str
    deployment: str
    ended: str | None  # RFC 3339 UTC; None also when its journal is gone
    status: str | None
    holds: tuple[str, ...]  # changed files and commits; nothing when it is nobody's work

    @property
    def lost_without(self) -> bool:
        """Whether it holds work that no way back has put into the checkout again."""
        return bool(self.holds) and self.status not in CAME_BACK


def found(app: App, state: State, clock: Clock) -> list[Aside]:
    """Return what is kept aside in the checkout, oldest first."""
    checkout = Checkout(app.checkout, app.branch, app.clone_url)
    if not checkout.exists():
        return []
    return [
        _read(checkout, state, clock, name, commit)
        for name, commit in sorted(checkout.asides().items())
    ]


def prune(app: App, state: State, clock: Clock, kept: Collection[str]) -> list[str]:
    """Remove the refs that nobody misses, but for those of `kept` releases; return them.

    For the holder of the app's lock.
    """
    young = clock.now() - timedelta(days=app.backup.keep_safety)
    checkout = Checkout(app.checkout, app.branch, app.clone_url)
    gone = []
    for one in found(app, state, clock):
        if one.deployment in kept or one.ended is None or one.lost_without:
            continue
        if one.holds and parse(one.ended) > young:
            continue
        checkout.let_go(one.ref, one.commit)
        gone.append(one.ref)
    return gone


def _read(checkout: Checkout, state: State, clock: Clock, name: str, commit: str) -> Aside:
    deployment = name.removesuffix(BRANCH)
    records = Journal(state.journals / f"{deployment}.jsonl", clock).records()
    facts = {
        key: value
        for record in records
        if (record["phase"], record["step"], record["event"]) == ("deploy", "pull", "done")
        for key, value in record["facts"].items()
    }
    holds: Sequence[str]
    if not records:
        holds = ("no journal tells what",)  # so it is kept
    elif name.endswith(BRANCH):
        holds = facts.get("branch_commits", ())
    else:
        holds = [*facts.get("own_commits", ()), *checkout.changes_of(commit)]
    end = next((record for record in records if record["event"] == "end"), None)
    return Aside(
        ref=f"refs/sheetanchor/{name}",
        commit=commit,
        deployment=deployment,
        ended=end["time"] if end else None,
        status=end["facts"].get("status") if end else None,
        holds=tuple(holds),
    )
