"""Stops everything of the app, so that nothing writes while its data is put back."""

from worker.clock import rfc3339
from worker.steps import quiet
from worker.steps.attempt import Attempt, Facts

LIMIT = 600.0  # seconds that operations in MongoDB may take to end


def run(attempt: Attempt) -> Facts:
    """Stop the containers, whatever release they are of; wait for the databases."""
    began = attempt.clock.now()
    quiet.stop(attempt, attempt.everything)
    if attempt.inherited or (attempt.going_back and "deploy.switch" not in attempt.facts):
        # The daemon may be busy still for a Compose that was killed: it may start something.
        quiet.settle(attempt, stops=False)
        quiet.stop(attempt, attempt.everything)
    attempt.note({"halted_at": rfc3339(attempt.clock.now())})
    waited = quiet.wait_for_databases(attempt, LIMIT)
    return {"stopped_at": rfc3339(began), "operations_waited_for": waited}
