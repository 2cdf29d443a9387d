"""The tables of `sheetanchor.toml`: their keys, rules and defaults.

Models are frozen and forbid unknown keys. `worker.config` puts them together.
"""

import re
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, IPvAnyNetwork, field_validator

from worker import addressees, heartbeat
from worker.cron import Cron
from worker.formats import LISTEN, ApiAddress, Inside, Places, Seconds, WebAddress
from worker.targets import Targets


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class HealthUrl(Section):
    """A URL that must answer: below 500, or exactly `expect`."""

    url: str
    expect: Annotated[int, Field(ge=100, le=599)] | None = None

    @field_validator("url")
    @classmethod
    def _plain_http(cls, url: str) -> str:
        if not re.fullmatch(r"https?://[^\s\x00-\x1f]+", url):
            raise ValueError("should be an http:// or https:// address")
        return url


class Server(Section):
    """`[server]`: where sheetanchor itself lives."""

    state_dir: Path = Path("/var/lib/sheetanchor")
    listen: str = "127.0.0.1:8787"
    redis_url: str | None = None
    public_url: WebAddress | None = None  # where people reach it, for links
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()

    @field_validator("trusted_proxies")
    @classmethod
    def _not_everybody(cls, networks: tuple[IPvAnyNetwork, ...]) -> tuple[IPvAnyNetwork, ...]:
        if any(one.prefixlen == 0 for one in networks):
            raise ValueError("all addresses are trusted: then anybody may claim any")
        return networks

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        if not LISTEN.fullmatch(value):
            raise ValueError("should look like 127.0.0.1:8787")
        return value


class Data(Section):
    """`[apps.X.data]`: what a restore must be able to put back."""

    mongodb: str | None = None
    databases: tuple[str, ...] = ()
    mongodb_admin_file: Path | None = None
    uploads: Inside = ()
    not_covered: Places = ()


class Backup(Section):
    """`[apps.X.backup]`."""

    dir: Path = Path("backups")
    keep: Annotated[int, Field(ge=1)] = 7
    keep_safety: Annotated[int, Field(ge=1)] = 30
    schedule: Cron = ""
    drill: Cron = ""
    consistency: Literal["quiesce", "live"] = "quiesce"
    max_pause: Seconds = 60
    offsite: Targets = ()
    keep_offsite: Annotated[int, Field(ge=1)] | None = None  # left out: all of them
    ping_url: Annotated[str | None, AfterValidator(heartbeat.check)] = None


class Health(Section):
    """`[apps.X.health]`."""

    urls: tuple[HealthUrl, ...] = ()
    timeout: Seconds = 120
    stable_for: Seconds = 35
    allowed_shrink: Annotated[float, Field(ge=0, le=1)] = 0.2
    ignore_collections: tuple[str, ...] = ()

    @field_validator("urls", mode="before")
    @classmethod
    def _bare_strings(cls, urls: object) -> object:
        if not isinstance(urls, list | tuple):
            return urls
        return [{"url": item} if isinstance(item, str) else item for item in urls]


class Gate(Section):
    """`[apps.X.gate]`: which moves of the branch are deployed by themselves."""

    paths: tuple[str, ...] = ()
    skip_words: tuple[str, ...] = ("[skip deploy]",)
    require_ci: bool | tuple[str, ...] = False  # any workflow's success, or each of these
    ci_within: Annotated[float, Field(gt=0, le=10_080)] = 60  # minutes

    @field_validator("paths")
    @classmethod
    def _inside_the_repository(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            parts = pattern.split("/")
            if not pattern.strip() or pattern[0] in "/:" or ".." in parts or "\0" in pattern:
                raise ValueError(f"{pattern!r} should be a path or pattern inside the repository")
        return patterns

    @field_validator("require_ci")
    @classmethod
    def _named(cls, wanted: bool | tuple[str, ...]) -> bool | tuple[str, ...]:
        if isinstance(wanted, tuple) and not (wanted and all(name.strip() for name in wanted)):
            raise ValueError("should be true, false, or the names of workflows")
        return wanted

    @field_validator("skip_words")
    @classmethod
    def _not_blank(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if not all(word.strip() for word in words):
            raise ValueError("a blank word would stand in every message")
        return words


class Rollback(Section):
    """`[apps.X.rollback]`: of the automatic way back only."""

    data: Literal["restore", "keep"] = "restore"
    keep_releases: Annotated[int, Field(ge=1)] = 3


class GitHub(Section):
    """`[github]`: where results are shown; without a token nowhere."""

    token_file: Path | None = None
    api_url: ApiAddress = "https://api.github.com"


Event = Literal[
    "failed",
    "rolled_back",
    "inconsistent",
    "recovered",
    "backup_failed",
    "drill_failed",
    "disk_low",
    "ci_missing",
    "succeeded",
]


class Notify(Section):
    """`[notify]`: who hears of what."""

    urls: Annotated[tuple[str, ...], AfterValidator(addressees.check)] = ()
    on: tuple[Event, ...] = get_args(Event)[:-1]  # without what went well
