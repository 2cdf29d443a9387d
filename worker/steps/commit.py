"""The point of no return: once this step's `done` is in the journal, it stays."""

from worker.steps.attempt import Attempt, Facts


def run(attempt: Attempt) -> Facts:
    """Say so; the record itself is the act."""
    attempt.say("committed")
    return {}
