"""`python -m worker.cli` is `sheetanchor`."""

import sys

from worker.cli import main

sys.exit(main())
