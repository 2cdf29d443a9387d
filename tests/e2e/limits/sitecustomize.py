"""What a test's own processes run first: limits set short, and a clock that a test sets.

`SHORT_LIMITS` maps a constant's full name to another value, as JSON; `CLOCK_SET_BY` names
a file with the seconds by which the wall clock is wrong.
"""

import importlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

for name, value in json.loads(os.environ.get("SHORT_LIMITS", "{}")).items():
    module, _, constant = name.rpartition(".")
    assert hasattr(importlib.import_module(module), constant), name
    setattr(importlib.import_module(module), constant, value)

if file := os.environ.get("CLOCK_SET_BY"):
    from worker.clock import SystemClock

    def wrong(_):
        return datetime.now(UTC) + timedelta(seconds=float(Path(file).read_text()))

    SystemClock.now = wrong
