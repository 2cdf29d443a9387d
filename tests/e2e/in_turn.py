"""The command line with its pools of threads as one thread, the main one.

Strace counts the calls of each thread for itself: so each durable write has its number.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.backups.dying import InTurn
from worker.adapters import files
from worker.backups import place
from worker.cli import main

if __name__ == "__main__":
    files.ThreadPoolExecutor = place.ThreadPoolExecutor = InTurn
    sys.exit(main())
