"""Recovers an app as a worker does that comes later, or has less patience.

late.py CONFIG APP SECONDS PATIENCE; prints the deployment's id.
"""

import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.clocks import LateClock
from worker import configfile, pipeline
from worker.jobs import Runner

path, name, seconds, patience = sys.argv[1:]
pipeline.PATIENCE = float(patience)
config = configfile.load(Path(path))
late = LateClock(timedelta(seconds=float(seconds)))
runner = Runner(config, config.apps[name], None, clock=late)
with runner.locked():
    [(deployment, _)] = runner.recover()
print(deployment)
