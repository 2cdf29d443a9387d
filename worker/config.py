"""What `sheetanchor.toml` may say: the keys, their rules and their defaults.

The tables of an app are in `worker.tables`. `worker.configfile` finds the file,
loads it and reports every fault at once.
"""

import os
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from worker import sharing, targets
from worker.formats import APP_NAME, BRANCH, REPOSITORY, Inside, WebAddress
from worker.tables import (
    Backup,
    Data,
    Gate,
    GitHub,
    Health,
    HealthUrl,
    Notify,
    Rollback,
    Section,
    Server,
)

__all__ = ["App", "Config", "Data", "Health", "HealthUrl"]


class App(Section):
    """`[apps.NAME]`: a repository, a checkout, a Compose project, its data."""

    name: str
    repository: str
    branch: str = "main"
    checkout: Path
    clone_url: str | None = None
    webhook_secret_file: Path
    compose_files: tuple[str, ...] = ("docker-compose.yml",)
    env_file: str | None = None
    build_files: Inside = ()
    pull_images: bool = False
    project: str | None = None
    reconcile: Annotated[int, Field(ge=0, le=10_080)] = 5  # minutes
    public_url: WebAddress | None = None  # of the app itself, for a link
    data: Data = Data()
    backup: Backup = Backup()
    health: Health = Health()
    gate: Gate = Gate()
    rollback: Rollback = Rollback()

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not APP_NAME.fullmatch(name):
            raise ValueError("should be 1 to 40 of a-z, 0-9, - and _, not starting with - or _")
        return name

    @field_validator("repository")
    @classmethod
    def _owner_and_name(cls, value: str) -> str:
        if not REPOSITORY.fullmatch(value):
            raise ValueError("should look like owner/name")
        return value

    @field_validator("branch")
    @classmethod
    def _branch(cls, value: str) -> str:
        if not BRANCH.fullmatch(value):
            raise ValueError(
                "should be a branch of letters, digits and . _ / -, not starting with -"
            )
        return value

    @field_validator("clone_url")
    @classmethod
    def _clone_url(cls, value: str | None) -> str | None:
        if value is not None and (value.startswith("-") or "::" in value or not value.strip()):
            raise ValueError("should be an https, ssh or file address")
        return value

    @field_validator("checkout")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError("should be an absolute path")
        return value

    @model_validator(mode="after")
    def _env_file_is_needed(self) -> Self:
        if (self.data.mongodb or "").startswith("env_file:") and not self.env_file:
            raise ValueError("data.mongodb reads env_file, which is not set")
        return self

    @model_validator(mode="after")
    def _copies_are_elsewhere(self) -> Self:
        for text in self.backup.offsite:
            target = targets.parse(text)
            if target.host is None and Path(target.path).is_relative_to(self.checkout):
                raise ValueError(f"backup.offsite: {text} lies in the checkout")
            if target.host is None and Path(target.path).is_relative_to(self.backup_dir):
                raise ValueError(f"backup.offsite: {text} lies in the folder of backups")
        return self

    @property
    def backup_dir(self) -> Path:
        """The folder of this app's backups, absolute."""
        return self.checkout / self.backup.dir  # an absolute dir replaces the checkout

    @property
    def env_path(self) -> Path | None:
        """The env file, absolute, or None."""
        return self.checkout / self.env_file if self.env_file else None

    @property
    def env_inside(self) -> str | None:
        """The env file, relative to the checkout; None when it is outside, or there is none."""
        path = os.path.relpath(self.env_path, self.checkout) if self.env_path else ".."
        return None if path.split("/")[0] == ".." else path

    @property
    def upload_paths(self) -> tuple[Path, ...]:
        """The uploads folders, absolute."""
        return tuple(self.checkout / path for path in self.data.uploads)


class Config(Section):
    """The whole file."""

    server: Server = Server()
    github: GitHub = GitHub()
    notify: Notify = Notify()
    apps: dict[str, App]
    path: Path

    @model_validator(mode="after")
    def _nothing_is_shared(self) -> Self:
        places = {
            name: {
                "checkout": app.checkout,
                "backup.dir": app.backup_dir,
                **{f"data.uploads {path}": app.checkout / path for path in app.data.uploads},
            }
            for name, app in self.apps.items()
        }
        faults = sharing.shared_folders(places)
        faults += sharing.shared_projects({name: app.project for name, app in self.apps.items()})
        faults += sharing.shared_targets({n: app.backup.offsite for n, app in self.apps.items()})
        if faults:
            raise ValueError(f"{'; '.join(faults)}. Each app needs its own")
        return self

    def others(self, app: App) -> tuple[App, ...]:
        """Return all apps but this one."""
        return tuple(one for one in self.apps.values() if one.name != app.name)
