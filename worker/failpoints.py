"""Points at which a test lets a deployment stand still, to kill it from outside.

The danger is a server that stands still: so it takes two variables that nobody sets by
chance, and the command line refuses one without the other. Without them a point costs one
look at the environment.

`SHEETANCHOR_FAILPOINTS` names a folder. Who comes to `phase.step.moment` and finds a file
of that name there renames it to `phase.step.moment.PID`, and goes on once that is gone.
So a file stops one process once, and whoever repairs what was killed passes by. The names
come from the pipeline's own steps: a new step has its points by itself.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from worker.clock import SystemClock
from worker.errors import UsageError

FOLDER = "SHEETANCHOR_FAILPOINTS"
ALLOWED = "SHEETANCHOR_TESTING"
MOMENTS = ("before_intent", "after_intent", "after_effect", "after_record")
PAUSE = 0.02  # seconds between two looks whether to go on


def reach(phase: str, step: str, moment: str) -> None:
    """Stand still here if a test asks for it."""
    folder = os.environ.get(FOLDER)
    if folder and os.environ.get(ALLOWED):
        _stand_at(Path(folder) / f"{phase}.{step}.{moment}")


def refuse_outside_tests(environment: Mapping[str, str]) -> None:
    """Raise UsageError for points that were set without saying that this is a test."""
    if environment.get(FOLDER) and not environment.get(ALLOWED):
        raise UsageError(
            f"{FOLDER} is set: a deployment would stand still at each point named there.",
            remedy=f"Unset it. A test sets {ALLOWED}=1 beside it.",
        )


def _stand_at(point: Path) -> None:
    standing, clock = point.with_name(f"{point.name}.{os.getpid()}"), SystemClock()
    try:
        point.rename(standing)
    except FileNotFoundError:
        return
    while standing.exists():
        clock.sleep(PAUSE)
