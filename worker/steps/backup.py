"""The pre-deploy backup: whole, verified, and there before anything is replaced."""

from worker.steps import data
from worker.steps.attempt import Attempt, Facts


def run(attempt: Attempt) -> Facts:
    """Return the backup's id, its bytes and how long it took."""
    made = data.back_up(attempt, "pre-deploy", previous=data.newest(attempt))
    return {
        "backup": made.id,
        "bytes": made.bytes,
        "backup_seconds": made.seconds,
        "one_moment": not made.torn,
        "new_warnings": made.warnings,
    }
