"""Puts the checkout back: the old revision, and the local changes on top of it."""

from worker.adapters.git import Head
from worker.steps import left_behind
from worker.steps.attempt import Attempt, Facts


def run(attempt: Attempt) -> Facts:
    """Move the work tree, then HEAD and index, to what preflight noted."""
    head = Head(**attempt.fact("preflight", "head"))
    kept = attempt.checkout.kept(attempt.id)
    if kept:
        revision = left_behind.moved_to(attempt) or attempt.fact("preflight", "revision")
        attempt.checkout.move(revision, kept, head, without=attempt.left_alone)
        attempt.checkout.put_branch_back(attempt.id)
    return {"checkout": head.revision}
