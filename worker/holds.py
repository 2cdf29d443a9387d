"""What a person may do about a hold: one rule for the command line, the API and the worker.

Pure. The danger: an app is `inconsistent` because nobody knows that it is right. A freeze
would hide that, and `resume` forgets which backup a failed way back did not put back.
"""

from collections.abc import Mapping
from typing import Any, TypeGuard

from worker.errors import HeldError, UsageError

Hold = Mapping[str, Any]


def refuse_inconsistent(app: str, hold: Hold | None) -> None:
    """Raise HeldError when the app is inconsistent: no freeze begins or ends then."""
    if _is_inconsistent(hold):
        raise HeldError(
            f"{app} is inconsistent since {hold['at']}, so nothing is deployed by itself:"
            f" {hold['reason']}",
            remedy=f"Mend that first, then run `sheetanchor resume {app}`, or POST to"
            f" apps/{app}/resume.",
        )


def refuse_lost_data(app: str, hold: Hold | None, reason: str | None) -> None:
    """Raise UsageError when a resume without a reason would forget a backup that is owed."""
    if not reason and _is_inconsistent(hold) and (lost := hold.get("restore")):
        raise UsageError(
            f"The data of {app} is not as it was before: backup {lost} was not put back.",
            remedy=f"Run `sheetanchor restore {app} {lost}`, which goes on, too. If the data is"
            " right as it is, give a reason that says what you did (--reason): then the old"
            " version is started on it, unless you have the app running again.",
        )


def _is_inconsistent(hold: Hold | None) -> TypeGuard[Hold]:
    return hold is not None and hold.get("kind") == "inconsistent"
