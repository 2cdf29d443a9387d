"""Hard links to the backup before: what did not change takes no time and no space.

Only ever to another backup, never to a live file: an app that writes in place would
change the backup as well.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from worker.adapters.files_tree import Tree
from worker.backups.manifest import Manifest

AT_ONCE = 2  # folders that are linked at a time


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

    def link_all(self, paths: Iterable[str], folder: Path) -> Iterator[list[str]]:
        """Do `link` for many paths that are not there yet; yield those that are made, in parts.

        By folder, and two folders at a time: the kernel makes links without Python's lock.
        """
        by_parent: dict[str, list[str]] = {}
        for path in paths:
            parent, _, name = path.rpartition("/")
            if path not in self.refused:
                by_parent.setdefault(parent, []).append(name)
        if self.path is None or not by_parent:
            return
        with Tree(self.path) as earlier, Tree(folder) as now, ThreadPoolExecutor(AT_ONCE) as pool:
            made = pool.map(lambda item: now.link_from(earlier, *item), by_parent.items())
            for parent, names in zip(by_parent, made, strict=True):
                linked = [f"{parent}/{name}" for name in names]
                self.made.update(linked)
                yield linked
