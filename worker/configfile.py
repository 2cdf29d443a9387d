"""Finds and loads `sheetanchor.toml`; names every fault at once.

Secrets never stand in the file itself: they come from files that only their
owner can read.
"""

import difflib
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from worker import heartbeat
from worker.config import App, Config
from worker.errors import ConfigError, NotFoundError
from worker.redact import Redactor, env_values

PLACES = (Path("sheetanchor.toml"), Path("/etc/sheetanchor/sheetanchor.toml"))
SHORTEST_SECRET = 16  # characters


def find(given: str | None, env: Mapping[str, str]) -> Path:
    """Return the configuration's path: given, `$SHEETANCHOR_CONFIG`, or a usual place."""
    if given or (given := env.get("SHEETANCHOR_CONFIG")):
        return Path(given).absolute()
    for place in PLACES:
        if place.exists():
            return place.absolute()
    raise ConfigError(
        f"No configuration was found at {' or '.join(map(str, PLACES))}.",
        remedy="Name one with --config, or copy deploy/sheetanchor.example.toml.",
    )


def load(path: Path) -> Config:
    """Read and check the file. Raises ConfigError with all its faults, one a line."""
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(
            f"{path} could not be read: {error.strerror}.", remedy="Name another with --config."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.", remedy="Mend that line.") from error
    try:
        return Config.model_validate(_named(table, path))
    except ValidationError as error:
        raise _faults(path, [_sentence(fault) for fault in error.errors()]) from error


def app_of(config: Config, name: str) -> App:
    """Return the app of that name. Raises NotFoundError with the nearest spelling."""
    if name in config.apps:
        return config.apps[name]
    raise NotFoundError(
        f"There is no app {name!r}{_nearest(name, config.apps)}.",
        remedy=f"Name one of: {', '.join(sorted(config.apps))}.",
    )


def secrets(path: Path, key: str) -> tuple[bytes, ...]:
    """Return the secrets of a file, one a line. Raises ConfigError naming `key`."""
    try:
        mode = path.stat().st_mode
        lines = [line.strip() for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise ConfigError(
            f"{key}: {path} could not be read: {error.strerror}.",
            remedy=f"Write the secret there: openssl rand -hex 32 > {path}; chmod 600 {path}",
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{key}: {path} can be read by others.", remedy=f"Run chmod 600 {path}")
    if not lines or min(map(len, lines)) < SHORTEST_SECRET:
        raise ConfigError(
            f"{key}: {path} holds no secret, or one under {SHORTEST_SECRET} characters.",
            remedy=f"Run openssl rand -hex 32 > {path}",
        )
    return tuple(lines)


def check_secrets(config: Config) -> dict[str, tuple[bytes, ...]]:
    """Return every app's webhook secrets; raise one ConfigError for all that are wrong."""
    found, faults = {}, []
    for name, app in config.apps.items():
        try:
            found[name] = secrets(app.webhook_secret_file, f"apps.{name}.webhook_secret_file")
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise _faults(config.path, faults)
    return found


def _named(table: dict[str, Any], path: Path) -> dict[str, Any]:
    apps = table.get("apps", {})
    if not isinstance(apps, dict) or not apps:
        raise _faults(path, ["apps: at least one [apps.NAME] is needed."])
    named = {
        name: {**app, "name": name} if isinstance(app, dict) else app for name, app in apps.items()
    }
    return {**table, "apps": named, "path": path}


def _faults(path: Path, faults: list[str]) -> ConfigError:
    lines = "\n".join(f"  - {fault}" for fault in faults)
    return ConfigError(
        f"{path} has {len(faults)} fault(s):\n{lines}\n", remedy="Mend and try again."
    )


def _sentence(fault: Any) -> str:
    where = [str(part) for part in fault["loc"]]
    key = ".".join(where) or "the file"
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key{_nearest(where[-1], _keys(where[:-1]))}."
    if fault["type"] == "missing":
        return f"{key}: is missing."
    rule = fault["msg"].removeprefix("Value error, ")
    given = fault["input"]  # of [notify] it may hold an address, which is a secret
    hidden = isinstance(given, dict | BaseModel) or where[:2] == ["notify", "urls"]
    value = "" if hidden else f" (it is {given!r})"
    return f"{key}: {rule[0].lower()}{rule[1:]}{value}."


def _keys(where: list[str]) -> list[str]:
    """Return the valid keys of the table at this place."""
    model: type[BaseModel] = Config
    if where[:1] == ["apps"]:
        model, where = App, where[2:]
    for part in where:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return [key for key in model.model_fields if key not in ("name", "path")]


def _nearest(word: str, words: Any) -> str:
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""


def redactor(app: App) -> Redactor:
    """Return what hides the app's secrets: of its env file, secret files and clone address."""
    files = [app.env_path, *app.checkout.glob(".env*")]
    secrets = [app.webhook_secret_file, app.data.mongodb_admin_file, *_uri_file(app)]
    lines = [line.strip() for path in secrets for line in _text(path).splitlines()]
    lines += _ping_secret(app)
    addresses = [f"X={line}" for line in [*lines, app.clone_url or ""]]
    texts = [_text(path) for path in dict.fromkeys(files)]
    public = app.model_copy(update={"clone_url": None}).model_dump_json()
    hidden = [value for text in texts for value in env_values(text) if value not in public]
    return Redactor(hidden).adding([*lines, *env_passwords(addresses)])


def env_passwords(addresses: list[str]) -> list[str]:
    """Return the passwords in addresses, as they stand and decoded."""
    whole = {line.removeprefix("X=") for line in addresses}
    return [value for line in addresses for value in env_values(line) if value not in whole]


def _uri_file(app: App) -> list[Path]:
    named = app.data.mongodb or ""
    return [] if named.startswith(("env_file:", "env:")) or not named else [app.checkout / named]


def _ping_secret(app: App) -> list[str]:
    """Return what of the address that is told of backups nobody may see."""
    if app.backup.ping_url is None:
        return []
    try:
        return heartbeat.secret_parts(heartbeat.address(app.backup.ping_url))
    except ConfigError:  # whoever pings says so
        return []


def _text(path: Path | None) -> str:
    """Return a file's text, or nothing: what cannot be read cannot be shown either."""
    try:
        return path.read_text(errors="replace") if path and path.is_file() else ""
    except OSError:
        return ""
