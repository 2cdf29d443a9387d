"""The command line as a program: its exit code, standard output and standard error."""

import json
import os
import sys
from dataclasses import dataclass

import pytest

from tests import forks
from worker import configfile, lock
from worker.backups import make
from worker.backups.source import Source
from worker.clock import SystemClock

NO_REDIS = "unix:///nonexistent/redis.sock"

CONFIG = """\
[server]
state_dir = "{home}/state"
redis_url = "{redis}"
[apps.{app}]
repository = "acme/shop"
checkout = "{home}/shop"
webhook_secret_file = "{home}/secret"
env_file = ".env"
project = "{project}"
[apps.{app}.data]
uploads = ["uploads"]
"""


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class CommandLine:
    """Runs `sheetanchor` with a configuration of one app, `shop` unless told."""

    def __init__(self, home):
        self.home, self.config = home, home / "sheetanchor.toml"
        self.checkout = home / "shop"
        self.checkout.mkdir()
        (self.checkout / ".env").write_text("PASSWORD=correct-horse-battery\n")
        self.configure()

    def configure(self, *, redis=NO_REDIS, project="shop", app="shop"):
        self.app = app
        text = CONFIG.format(home=self.home, redis=redis, project=project, app=app)
        self.config.write_text(text)

    def argv(self, *argv):
        return [sys.executable, "-W", "error", "-m", "worker.cli", *map(str, argv)]

    def environment(self, **more):
        path = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root")}
        docker = {k: v for k, v in os.environ.items() if k.startswith("DOCKER_")}
        return {**path, **docker, "SHEETANCHOR_CONFIG": str(self.config), **more}

    def __call__(self, *argv, typed="", code=0, **env):
        argv, env = [*map(str, argv)], self.environment(**env)
        done = forks.run(argv, env=env, input=typed, timeout=300, strict=True)
        ran = Ran(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in ran.err, ran.err
        assert ran.code == code, ran
        return ran


@pytest.fixture
def cli(tmp_path):
    return CommandLine(tmp_path)


@pytest.fixture
def backup(cli):
    """A real backup of the app's uploads and env file."""
    uploads = cli.checkout / "uploads"
    uploads.mkdir(exist_ok=True)
    (uploads / "photo").write_text("a photo")
    app = configfile.load(cli.config).apps[cli.app]
    source = Source(app=app, mongo=None, clock=SystemClock(), config_files=(app.env_path,))
    return make.make(
        source,
        kind="manual",
        deployment=None,
        revision=None,
        images={},
        why="a test",
        previous=None,
        report=lambda line: None,
    )


@pytest.fixture
def held_lock(cli):
    """Another process's deployment: the lock is held."""
    path = cli.home / "state" / "apps" / cli.app / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with lock.held(path, cli.app):
        yield
