"""What must be true of an app and its server once all is at rest, whoever was killed before.

`check(world)` reads the journals and the ledger, and looks at files, processes, containers and
databases. It waits a moment for what tidies up after a deployment's end.
"""

import os
import re
import stat
import time
from pathlib import Path

import docker
from redis import Redis

from tests.e2e import fingerprint, history
from worker import lock
from worker.adapters.git_locks import MARK as MOVING
from worker.adapters.mongo_server import OURS
from worker.adapters.process import MARK
from worker.backups.source import STAGING
from worker.clock import SystemClock
from worker.deployment import view
from worker.journal import journals
from worker.ledger import Ledger
from worker.redact import env_values

PATIENCE = 60.0  # seconds
OF_COMPOSE = re.compile(r"^[0-9a-f]{12}_")  # what a killed Compose leaves of a container's name
# The models hold the secrets that Compose needs; a backup's config/ and data are what it is for.
MAY_HOLD_SECRETS = re.compile(r"/releases/[^/]+/[a-z]+\.json$|/backups/[^/]+/(config|mongodb)/")


def check(world, *, rules=history.RULES, url=None):
    """Raise AssertionError naming all that is not as it must be at rest."""
    deadline = time.monotonic() + PATIENCE
    while (found := list(_unrest(world, url))) and time.monotonic() < deadline:
        time.sleep(0.1)
    found += history.faults(read(world), rules)
    found += [*open_to_others(world.state), *told_secrets(world)]
    assert not found, "\n".join(["not as it must be at rest:", *found])


def read(world):
    """Return the app's history: id -> records."""
    folder = world.state / "apps" / world.name / "journal"
    return {one.path.stem: one.records() for one in journals(folder, SystemClock())}


def _unrest(world, url):
    """Yield what may still be under way just after an end."""
    home, git = world.state / "apps" / world.name, world.checkout / ".git"
    for path in (home / "lock", git):
        if not lock.is_free(path):
            yield f"{path} is locked"
    yield from left_behind(world, home)
    for identity in read(world):
        if pids := working_for(identity):
            yield f"processes {pids} work for {identity}"
    if url:
        yield from disagreeing(world, url)


def left_behind(world, home):
    """Yield what no step may leave: work folders, partial and staged things, Git's locks."""
    found = [*(home / "work").iterdir(), *(home / "scratch").iterdir()]
    found += list(world.state.rglob("*.partial"))
    found += [*(world.checkout / "backups").glob(".*"), *world.uploads.glob(STAGING)]
    found += [*(world.checkout / ".git").rglob("*.lock")]
    found += [*(world.checkout / ".git").glob("sheetanchor-index-*")]
    found += [*(world.checkout / ".git").glob(MOVING)]
    yield from (f"{path} is left" for path in found)
    staged = [name for name in world.db.list_collection_names() if name.startswith(OURS)]
    yield from (f"the collection {name} is left" for name in staged)
    yield from strange_containers(world.name)


def strange_containers(project):
    """Yield containers that Compose made and did not finish."""
    client = docker.from_env()
    try:
        label = {"label": f"{fingerprint.PROJECT}={project}"}
        for one in client.api.containers(all=True, filters=label):
            name = one["Names"][0].lstrip("/")
            if OF_COMPOSE.match(name):
                yield f"the container {name} is left"
    finally:
        client.close()


def working_for(identity):
    """Return the processes that are marked as a deployment's."""
    wanted, found = f"{MARK}={identity}".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:  # it has ended
            continue
    return found


def disagreeing(world, url):
    """Yield deployments of which the ledger says something else than the journal."""
    redis = Redis.from_url(url)
    try:
        ledger = Ledger(redis)
        for one in journals(world.state / "apps" / world.name / "journal", SystemClock()):
            asked, shown = one.deployment(), ledger.get(one.path.stem)
            said = view(asked, one.records())["status"]
            if (shown or {}).get("status") != said:
                yield f"{one.path.stem} is {said}, and the ledger has {shown and shown['status']}"
    finally:
        redis.close()


def open_to_others(state):
    """Yield files of the state that others may read; folders may be passed on the way to work/."""
    for folder, folders, files in os.walk(state):
        for name in [*folders, *files]:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            allowed = 0o711 if stat.S_ISDIR(mode) else 0o600
            if not (stat.S_ISSOCK(mode) or stat.S_ISLNK(mode)) and mode & 0o777 & ~allowed:
                yield f"{path} has the mode {mode & 0o777:o}"


def secrets_of(world):
    """Return what nobody may read in a log: the secrets of the delivery and of the env file."""
    values = env_values((world.checkout / ".env.production").read_text())
    return [world.secret, *(value for value in values if len(value) >= 8)]


def told_secrets(world):
    """Yield files and command lines in which a secret stands."""
    wanted = _pattern(secrets_of(world))
    logs, redis = world.home.glob("*.log"), world.home.glob("appendonlydir/*")
    folders = (world.state, world.checkout / "backups")
    for path in [*logs, *redis, *(one for folder in folders for one in folder.rglob("*"))]:
        may = MAY_HOLD_SECRETS.search(str(path)) or not path.is_file()
        if not may and wanted.search(path.read_bytes()):
            yield f"a secret stands in {path}"
    yield from secrets_in_argv(secrets_of(world))


def _pattern(secrets):
    return re.compile("|".join(map(re.escape, secrets)).encode())


def secrets_in_argv(secrets):
    """Yield processes on whose command line a secret stands."""
    wanted = _pattern(secrets)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if wanted.search(path.read_bytes()):
                yield f"a secret stands on the command line of process {path.parent.name}"
        except OSError:  # it has ended
            continue
