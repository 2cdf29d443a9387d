"""Where a deployment can be made to stand still (`worker.failpoints`), and by whom it is killed.

The names come from the plans, so that a step that is new there gets its points by itself.
"""

import os
import signal
import time

from tests.e2e.world import until
from worker import plan
from worker.failpoints import ALLOWED, FOLDER, MOMENTS

END = ("after.end.after_effect", "after.end.after_record")


class Points:
    """The points of the processes that are started with `env`."""

    def __init__(self, folder):
        folder.mkdir()
        self.folder = folder
        self.env = os.environ | {FOLDER: str(folder), ALLOWED: "1"}

    def hold(self, point):
        """Have the next process that comes to a point stand still there."""
        (self.folder / point).touch()

    def standing(self, point):
        """Return the process that stands at a point, or None."""
        found = [int(path.suffix[1:]) for path in self.folder.glob(f"{point}.*")]
        return found[0] if found else None

    def wait(self, point, seconds=300):
        """Wait until a process stands at a point; return its id."""
        return until(lambda: self.standing(point), f"somebody stands at {point}", seconds)

    def release(self, point):
        """Let whoever stands at a point go on."""
        for path in self.folder.glob(f"{point}.*"):
            path.unlink()

    def forget(self):
        """Hold nobody any more; what was killed left its name."""
        for path in self.folder.iterdir():
            path.unlink()


def of_steps(phase, steps, moments=MOMENTS):
    """Return the names of the points of these steps, in their order."""
    return [f"{phase}.{step}.{moment}" for step in steps for moment in moments]


def forward(kind, moments=MOMENTS, **options):
    """Return the points of a deployment of this kind on its way to the commit."""
    return of_steps("deploy", plan.steps(kind, options), moments)


def back(kind, *begun, moments=MOMENTS):
    """Return the points of the way back of a deployment of which these steps had begun."""
    return of_steps("way_back", plan.way_back(kind, begun), moments)


def kill(pid):
    """SIGKILL a process that need not be our child; return once it is gone."""
    os.kill(pid, signal.SIGKILL)
    until(lambda: is_gone(pid), f"process {pid} is gone")


def is_gone(pid):
    """Return whether a process has ended; one that nobody waited for yet has, too."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def waited(process, seconds=60):
    """Return the exit code of a child of ours that has ended."""
    deadline = time.monotonic() + seconds
    while (code := process.poll()) is None:
        assert time.monotonic() < deadline, f"process {process.pid} goes on"
        time.sleep(0.02)
    return code
