"""deploy and rollback in the calling process: Redis down, Ctrl-C, hang-up, holds."""

import os
import pty
import shutil
import signal
import subprocess
import threading
import uuid

import pytest

from worker.adapters.engine import Engine
from worker.decisions import Decisions

BUSYBOX = shutil.which("busybox") or "/bin/busybox"  # of the package busybox-static
GIT = ["git", "-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
DOCKERFILE = """\
FROM scratch
COPY busybox /busybox
COPY release /release
RUN ["/busybox", "sleep", "{building}"]
CMD ["/busybox", "sh", "-c", "{program}"]
"""
COMPOSE = """\
services:
  web:
    build: .
    stop_signal: SIGKILL
    restart: always
"""
CONFIG = """\
[server]
state_dir = "{home}/state"
redis_url = "unix:///nonexistent/redis.sock"
[apps.{app}]
repository = "acme/shop"
checkout = "{home}/shop"
clone_url = "{home}/origin"
webhook_secret_file = "{home}/secret"
project = "{app}"
[apps.{app}.health]
timeout = 10
stable_for = 2
"""


class Site:
    """A repository, its checkout, and nothing that runs yet."""

    def __init__(self, cli):
        self.cli, self.engine, self.app = cli, Engine(), f"t{uuid.uuid4().hex[:8]}"
        self.origin = cli.home / "origin"
        self.origin.mkdir()
        cli.config.write_text(CONFIG.format(home=cli.home, app=self.app))
        self.git("init", "--quiet", "-b", "main")
        shutil.copy(BUSYBOX, self.origin / "busybox")
        (self.origin / "docker-compose.yml").write_text(COMPOSE)
        (self.origin / ".gitignore").write_text("backups/\n")
        self.commit("one")
        shutil.rmtree(cli.checkout)
        self.decisions = Decisions(cli.home / "state" / "apps" / self.app / "decisions.json")

    def git(self, *argv):
        done = subprocess.run([*GIT, "-C", self.origin, *argv], check=True, capture_output=True)
        return done.stdout.decode().strip()

    def commit(self, release, *, building=0, program="exec /busybox sleep 3600"):
        (self.origin / "release").write_text(release)
        text = DOCKERFILE.format(building=building, program=program)
        (self.origin / "Dockerfile").write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", release)
        return self.git("rev-parse", "HEAD")

    def serving(self):
        """Return what the one running container's image was built from."""
        (one,) = self.engine.containers(self.app)
        assert (one.status, one.policy["Name"]) == ("running", "always")
        argv = ["docker", "exec", one.id, "/busybox", "cat", "/release"]
        return subprocess.check_output(argv, text=True)

    def start(self, *argv):
        """Start the command in a process of its own; its standard error can be read."""
        return subprocess.Popen(
            self.cli.argv(*argv),
            env=self.cli.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def clean(self):
        argv = ["docker", "rm", "--force", "--volumes"]
        for one in self.engine.containers(self.app):
            subprocess.run([*argv, one.id], check=True, capture_output=True)
        names = self.engine.tags(f"sheetanchor/{self.app}")
        for name in [*names, *self.engine.tags(f"{self.app}-web")]:
            self.engine.untag(name)
        network = ["docker", "network", "rm", f"{self.app}_default"]
        subprocess.run(network, check=False, capture_output=True)


@pytest.fixture
def site(cli):
    site = Site(cli)
    yield site
    site.clean()


@pytest.fixture
def deployed(site, cli):
    """The site with its first release in service."""
    cli("deploy", site.app)
    return site


def wait_for(child, text):
    seen = []
    for line in child.stderr:
        seen.append(line)
        if text in line:
            return
    pytest.fail(f"no {text!r} in {seen}")


def test_deploys_without_redis_and_answers_with_the_deployment(cli, site):
    ran = cli("deploy", site.app, "--reason", "why not", "--json", SUDO_USER="ann")

    assert ran.json["status"] == "succeeded"
    assert (ran.json["trigger"], ran.json["by"], ran.json["reason"]) == ("cli", "ann", "why not")
    assert cli("history", site.app, "--json").json == {"deployments": [ran.json]}
    assert "health done in" in ran.err
    assert site.serving() == "one"


def test_rolled_back_is_1_and_says_why(cli, deployed):
    deployed.commit("two", program="exit 3")

    ran = cli("deploy", deployed.app, code=1)

    assert "status      rolled_back" in ran.err.replace("status         ", "status      ")
    assert "failed in health: " in ran.err
    assert "keeps crashing" in ran.err
    assert deployed.serving() == "one"


def test_frozen_app_is_4_and_force_overrides(cli, deployed):
    hold = {"by": "ann", "at": "2026-11-22T14:30:00.000Z", "reason": "exams", "head": None}
    deployed.decisions.hold("frozen", **hold)
    deployed.commit("two")

    ran = cli("deploy", deployed.app, "--json", code=4)
    assert ran.json["status"] == "skipped"
    assert ran.err.count("exams") == 1, ran.err

    cli("deploy", deployed.app, "--force")
    assert deployed.serving() == "two"


def test_rollback_brings_back_what_ran_before(cli, deployed):
    deployed.commit("two")
    cli("deploy", deployed.app)

    cli("rollback", deployed.app)

    assert deployed.serving() == "one"
    assert deployed.decisions.read()["hold"]["kind"] == "rolled_back"


def test_ctrl_c_while_building_cancels(cli, deployed):
    deployed.commit("two", building=60)
    with deployed.start("deploy", deployed.app, "--json") as child:
        wait_for(child, "build ...")
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=180)

    assert child.returncode == 1, err
    assert '"status": "cancelled"' in out
    assert deployed.serving() == "one"


def test_ctrl_c_after_the_fence_goes_back_and_a_second_one_changes_nothing(cli, deployed):
    deployed.commit("two")
    with deployed.start("deploy", deployed.app, "--json") as child:
        wait_for(child, "health ...")
        child.send_signal(signal.SIGINT)
        for step in ("halt", "switch", "health"):
            wait_for(child, f"way back: {step} ...")
            child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=180)

    assert child.returncode == 1, err
    assert '"status": "rolled_back"' in out
    assert deployed.serving() == "one"


def test_deployment_outlives_the_terminal_it_was_started_on(cli, deployed):
    deployed.commit("two")
    master, terminal = pty.openpty()
    drawn = []
    with subprocess.Popen(
        cli.argv("deploy", deployed.app),
        env=cli.environment(TERM="xterm"),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as child:
        os.close(terminal)
        reader = threading.Thread(target=lambda: drawn.append(_until(master, b"fence")))
        reader.start()
        reader.join(timeout=180)
        child.send_signal(signal.SIGHUP)
        os.close(master)
        code = child.wait(timeout=180)

    assert code == 0
    assert b"preflight done" in drawn[0]
    assert deployed.serving() == "two"


def _until(master, text):
    seen = b""
    while text not in seen:
        seen += os.read(master, 4096)
    return seen


def test_unfinished_deployment_of_a_dead_process_is_finished_first(cli, deployed):
    deployed.commit("two")
    with deployed.start("deploy", deployed.app) as child:
        wait_for(child, "health ...")
        child.kill()
    ran = cli("stop", deployed.app)

    assert "whose process had died: rolled_back" in ran.err
    assert deployed.engine.containers(deployed.app)[0].status == "exited"
    cli("start", deployed.app)
    assert deployed.serving() == "one"
