"""Sets aside what a restore would overwrite, for a person: the safety backup."""

from worker.steps import data
from worker.steps.attempt import Attempt, Facts


def run(attempt: Attempt) -> Facts:
    """Back up the data as it is now, if it differs from what will be put back."""
    baseline = data.baseline(attempt)
    found = data.differs(attempt, baseline) if baseline else ""
    if not found:
        return {"differs": False}
    attempt.say(f"setting aside what differs: {found}")
    made = data.back_up(attempt, "safety", previous=baseline)
    return {"differs": True, "safety_backup": made.id, "what": found}
