"""Sets aside what a restore would overwrite, for a person: the safety backup."""

from worker.steps import data
from worker.steps.attempt import Attempt, Facts


def run(attempt: Attempt) -> Facts:
    """Back up the data as it is now, if it differs from what will be put back."""
    return data.set_aside(attempt)
