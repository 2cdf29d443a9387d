"""Hard links to the backup before: what did not change takes no time and no space.

Only ever to another backup, never to a live file: an app that writes in place would
change the backup as well.
"""

from dataclasses import dataclass, field
from pathlib import Path

from worker.backups.manifest import Manifest


@dataclass(slots=True)
class Links:
    """Where unchanged files may be linked from, and which were."""

    manifest: Manifest | None = None
    path: Path | None = None
    refused: frozenset[str] = frozenset()  # their earlier copy failed its read-back
    made: set[str] = field(default_factory=set)

    def link(self, path: str, folder: Path) -> bool:
        """Make `path` in `folder` a hard link to the earlier one; False when it cannot be."""
        if self.path is None or path in self.refused:
            return False
        place = folder / path
        try:
            place.unlink(missing_ok=True)
            place.hardlink_to(self.path / path)
        except OSError:  # gone, or linked 65,000 times
            return False
        self.made.add(path)
        return True
