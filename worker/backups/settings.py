"""Puts the env file and other config files back, each at once or not at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from worker.adapters import files
from worker.adapters.files import closing
from worker.adapters.files_tree import Tree
from worker.backups.difference import FileChange
from worker.backups.file_list import FileEntry
from worker.errors import RestoreError


class Settings:
    """Restores the config files that differ. `places`: where they live, by stored path."""

    def __init__(
        self,
        places: Mapping[str, Path],
        kept: Mapping[str, FileEntry],
        changes: Sequence[FileChange],
    ) -> None:
        self._entries = [kept[change.path] for change in changes]
        self._places = places
        self._contents: dict[str, bytes] = {}

    def refuse_full_disk(self) -> None:
        """Nothing is staged on disk."""

    def stage(self, backup: Tree) -> None:
        """Read the files out of the backup; make folders that are gone."""
        for entry in self._entries:
            with closing(backup.open(entry.path)) as descriptor:
                content = b"".join(files.chunks(descriptor))
            if files.sha256([content])[0] != entry.sha256:
                raise RestoreError(
                    f"{entry.path} was damaged while it was read from the backup.",
                    remedy="Use another backup; nothing live was touched.",
                )
            self._contents[entry.path] = content
            self._places[entry.path].parent.mkdir(parents=True, exist_ok=True)

    def swap(self) -> None:
        """Write them, with their owner and mode, through a link if the live one is a link."""
        for entry in self._entries:
            place = self._places[entry.path].resolve()
            content = self._contents[entry.path]
            files.write(place, content, entry.mode, (entry.uid, entry.gid))

    def discard(self) -> None:
        """Nothing was staged on disk."""
