"""Puts the data back: only what differs, and only over a safety backup."""

from worker.steps import data
from worker.steps.attempt import Attempt, Facts


def run(attempt: Attempt) -> Facts:
    """Restore the phase's baseline, or what a person asked for."""
    only = None if attempt.going_back else attempt.deployment.options.get("only")
    return data.put_back(attempt, data.baseline(attempt), only=only)
