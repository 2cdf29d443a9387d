"""What backups are made of and restored to: one app's data, where it lives now."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worker.clock import Clock
from worker.config import App

if TYPE_CHECKING:
    from worker.adapters.mongo import Mongo

STAGING = ".sheetanchor-restore"  # in an uploads folder, while a restore is under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An app's data. `config_files`: the env file and further untracked ones, absolute.

    The same is the target of a restore: only databases, uploads folders and config
    files named here are ever written.
    """

    app: App
    mongo: "Mongo | None"
    clock: Clock
    config_files: tuple[Path, ...] = ()

    def stored_config(self) -> dict[str, Path]:
        """Return the config files by their path in a backup."""
        return {self._in_backup(path): path for path in self.config_files}

    def _in_backup(self, path: Path) -> str:
        if path.is_relative_to(self.app.checkout):
            return f"config/{path.relative_to(self.app.checkout)}"
        return f"config/_elsewhere/{str(path).lstrip('/')}"
