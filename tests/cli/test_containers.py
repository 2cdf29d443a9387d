"""stop, start, restart, remove and logs against a real Compose project of two services."""

import json
import shutil
import subprocess
import uuid

import pytest

from tests.deployments import asked_for
from worker import configfile
from worker.adapters import compose, compose_command
from worker.adapters.engine import Engine
from worker.carrying import Carrying
from worker.clock import SystemClock, rfc3339
from worker.decisions import Decisions
from worker.deployment import new_id
from worker.journal import Journal
from worker.release import Release, image_names, pin_name
from worker.requests import Request, Requests
from worker.state import State

RELEASE = "20261122t143000-3f9a1c"
SECRET = "correct-horse-battery"
BUSYBOX = shutil.which("busybox") or "/bin/busybox"  # of the package busybox-static
COMPOSE = """\
services:
  db:
    image: {image}
    command: ["/busybox", "sleep", "3600"]
    restart: always
    stop_signal: SIGKILL
    volumes: ["data:/data"]
  web:
    image: {image}
    command: ["/busybox", "sh", "-c", "/busybox printf '{printed}'; exec /busybox sleep 3600"]
    restart: on-failure:3
    stop_signal: SIGKILL
    depends_on: [db]
volumes:
  data: {{}}
"""
PRINTED = f"hello\\\\n\\\\033[31mred {SECRET}\\\\n"


class Project:
    """A running project and, as a deployment would have left it, its stored release."""

    def __init__(self, cli):
        self.name = f"sa-cli-{uuid.uuid4().hex[:8]}"
        self.image, self.cli, self.engine = f"{self.name}-app:1", cli, Engine()
        self.volume = f"{self.name}_data"
        cli.configure(project=self.name, app=f"shop{self.name[-8:]}")  # names the pins
        state = cli.home / "state" / "apps" / cli.app
        self.decisions = Decisions(state / "decisions.json")
        self.releases = state / "releases"
        self._build()
        self.compose_file = cli.checkout / "docker-compose.yml"
        self.compose_file.write_text(COMPOSE.format(image=self.image, printed=PRINTED))
        self.up("-f", str(self.compose_file))
        self.docker("exec", f"{self.name}-db-1", "/busybox", "touch", "/data/kept")

    def _build(self):
        folder = self.cli.home / "image"
        folder.mkdir()
        shutil.copy(BUSYBOX, folder / "busybox")
        (folder / "Dockerfile").write_text("FROM scratch\nCOPY busybox /busybox\n")
        self.docker("build", "--quiet", "--tag", self.image, str(folder), DOCKER_BUILDKIT="0")

    def up(self, *argv):
        argv = [*argv, "--project-directory", str(self.cli.checkout), "-p", self.name]
        self._run([compose_command.binary(), *argv, "up", "-d", "--pull", "never"])

    def docker(self, *argv, **env):
        return self._run(["docker", *argv], **env)

    def _run(self, argv, **env):
        done = subprocess.run(
            argv, env=self.cli.environment(**env), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def store_release(self):
        """Store what runs as a release, as a deployment does."""
        folder = self.releases / RELEASE
        folder.mkdir(parents=True)
        files = [self.compose_file.name]
        model = compose.render(self.cli.checkout, files, None, self.name)
        (folder / "model.json").write_text(json.dumps(model))
        names = image_names(model, self.name)
        images = {service: (name, self.engine.image_id(name)) for service, name in names.items()}
        Release(RELEASE, "a" * 40, self.name, folder, images).store()
        for service, (_, image) in images.items():
            self.engine.tag(image, pin_name(self.cli.app, RELEASE, service))
        running = {"release": RELEASE, "revision": "a" * 40, "previous_release": None}
        self.decisions.write(running={**running, "since": "2026-11-22T14:30:00.000Z", "by": "ann"})

    def containers(self):
        return self.engine.containers(self.name)

    def statuses(self):
        return {one.service: one.status for one in self.containers()}

    def policies(self):
        return {one.service: one.policy["Name"] for one in self.containers()}

    def volumes(self):
        label = f"label=com.docker.compose.project={self.name}"
        return self.docker("volume", "ls", "--quiet", "--filter", label).split()

    def clean(self):
        """Remove everything by name: this is the test's own."""
        for one in self.containers():
            self.docker("rm", "--force", one.name)
        pins = self.engine.tags(f"sheetanchor/{self.cli.app}")
        for image in [*pins, self.image]:
            self.engine.untag(image)
        for volume in self.volumes():
            self.docker("volume", "rm", volume)
        self.docker("network", "rm", f"{self.name}_default")


@pytest.fixture
def project(cli):
    project = Project(cli)
    yield project
    project.clean()


POLICIES = {"db": "always", "web": "on-failure"}
RUNNING = {"db": "running", "web": "running"}
EXITED = {"db": "exited", "web": "exited"}


@pytest.mark.parametrize("stored", [True, False])
def test_stop_then_start_leaves_everything_as_it_was(cli, project, stored):
    if stored:
        project.store_release()
    before = [one.id for one in project.containers()]

    stopped = cli("stop", cli.app, "--json").json

    assert project.statuses() == EXITED
    assert stopped["hold"]["kind"] == "stopped"
    assert {one["status"] for one in stopped["containers"]} == {"exited"}

    started = cli("start", cli.app, "--json").json

    assert started["hold"] is None
    assert project.statuses() == RUNNING
    assert project.policies() == POLICIES
    assert [one.id for one in project.containers()] == before


def test_stop_holds_the_head_that_was_fetched_last(cli, project):
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(cli.checkout)]
    subprocess.run([*git, "init", "--quiet", "-b", "main"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "one"], check=True)
    head = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    subprocess.run([*git, "update-ref", "refs/sheetanchor/remote/main", head], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "local"], check=True)

    ran = cli("stop", cli.app, "--json", SUDO_USER="ann")

    assert "the next push to main starts it again" in ran.err
    assert f"`sheetanchor freeze {cli.app}`" in ran.err
    hold = ran.json["hold"]
    assert hold["head"] == head
    assert hold["by"] == "ann"


def test_stop_of_a_frozen_app_outlasts_the_freeze(cli, project):
    project.decisions.path.parent.mkdir(parents=True)
    hold = {"by": "ann", "at": "2026-11-22T14:30:00.000Z", "head": None}
    project.decisions.hold("frozen", reason="exams", **hold)

    ran = cli("stop", cli.app)

    assert "stays frozen, too: exams" in ran.err
    assert "starts it again" not in ran.err
    held = project.decisions.read()["hold"]
    assert (held["kind"], held["under"]["kind"]) == ("frozen", "stopped")
    project.decisions.lift("frozen", by="ann", at="later")
    assert project.decisions.read()["hold"]["kind"] == "stopped"
    project.decisions.hold("frozen", reason="exams", **hold)
    cli("start", cli.app)
    held = project.decisions.read()["hold"]
    assert (held["kind"], held["under"]) == ("frozen", None)


@pytest.mark.parametrize(("kind", "frozen_too"), [("rolled_back", True), ("pinned", False)])
def test_stop_and_start_keep_a_hold_that_says_more(cli, project, kind, frozen_too):
    project.decisions.path.parent.mkdir(parents=True)
    hold = {"by": "ann", "at": "2026-11-22T14:30:00.000Z", "reason": "exams", "head": None}
    project.decisions.hold(kind, **hold)
    if frozen_too:
        project.decisions.hold("frozen", **hold)
    before = project.decisions.read()["hold"]

    ran = cli("stop", cli.app)

    assert f"stays held as it was ({kind}): exams" in ran.err
    cli("start", cli.app)
    assert project.decisions.read()["hold"] == before


def test_start_does_not_replace_what_a_person_brought_up(cli, project):
    project.store_release()
    text = project.compose_file.read_text().replace("3600", "7200")
    project.compose_file.write_text(text)
    project.up("-f", str(project.compose_file))
    mine = [one.id for one in project.containers()]
    cli("stop", cli.app)

    cli("start", cli.app)

    assert [one.id for one in project.containers()] == mine
    assert project.statuses() == RUNNING


def test_start_brings_back_containers_that_are_gone(cli, project):
    project.store_release()
    for one in project.containers():
        project.docker("rm", "--force", one.name)

    cli("start", cli.app)

    assert project.statuses() == RUNNING
    assert project.policies() == POLICIES
    assert project.docker("exec", f"{project.name}-db-1", "/busybox", "ls", "/data") == "kept"


def test_restart_starts_the_programs_anew_without_a_hold(cli, project):
    before = {one.id: one.started_at for one in project.containers()}

    answer = cli("restart", cli.app, "--json").json

    after = {one.id: one.started_at for one in project.containers()}
    assert after.keys() == before.keys()
    assert all(after[one] > before[one] for one in before)
    assert answer["hold"] is None
    assert project.statuses() == RUNNING
    assert project.policies() == POLICIES


def carry_out(cli, *verbs):
    """Have done what was requested through the API, as whoever holds the app's lock does."""
    config = configfile.load(cli.config)
    app, clock = config.apps[cli.app], SystemClock()
    state = State.of(config, app)
    for verb in verbs:
        asked = Request(id=new_id(clock.now()), verb=verb, by="bob", at=rfc3339(clock.now()))
        Requests(state.requests).leave(asked)
    assert Carrying(app, state, None, clock).carry_out()
    assert Requests(state.requests).all() == []


def test_requested_stop_and_start_can_be_done_twice(cli, project):
    before = [one.id for one in project.containers()]
    carry_out(cli, "stop", "stop")
    assert project.statuses() == EXITED
    hold = project.decisions.read()["hold"]
    assert (hold["kind"], hold["by"]) == ("stopped", "bob")

    carry_out(cli, "start", "start", "restart")

    assert project.statuses() == RUNNING
    assert project.policies() == POLICIES
    assert [one.id for one in project.containers()] == before
    assert project.decisions.read()["hold"] is None


def test_request_that_could_not_be_done_is_shown_until_it_is_done(cli):
    cli.configure(project=f"sa-cli-{uuid.uuid4().hex[:8]}")

    carry_out(cli, "restart", "restart")

    [told] = cli("status", cli.app, "--json").json["undone"]
    assert (told["verb"], told["by"]) == ("restart", "bob")
    assert f"no containers of {cli.app}" in told["why"]
    assert "restart, asked by bob" in cli("status", cli.app).out


def test_remove_takes_containers_and_images_and_never_data(cli, project):
    project.store_release()

    removed = cli("remove", cli.app, typed=f"{cli.app}\n", code=0)

    assert project.containers() == []
    assert project.engine.image_id(project.image) is None
    assert project.engine.tags(f"sheetanchor/{cli.app}") == []
    assert project.volumes() == [project.volume]
    assert f"left volume {project.volume}" in removed.out
    assert f"left uploads {cli.checkout}/uploads" in removed.out
    assert f"left backups {cli.checkout}/backups" in removed.out
    decided = project.decisions.read()
    assert decided["hold"]["kind"] == "stopped"
    assert decided["running"] is None
    assert f"sheetanchor deploy {cli.app}" in cli("start", cli.app, code=2).err


def test_remove_leaves_an_image_that_another_container_uses(cli, project):
    project.store_release()
    other = f"{project.name}-other"
    project.docker("create", "--name", other, project.image, "/busybox")
    try:
        ran = cli("remove", cli.app, "--yes", "--json")
    finally:
        image = project.engine.image_id(project.image)
        project.docker("rm", other)

    assert image is not None
    assert ran.json["images"] == []
    assert f"the image {project.image} stays" in ran.err


def test_containers_of_another_folder_are_refused(cli, project):
    before = project.statuses()
    text = cli.config.read_text().replace(f"{cli.home}/shop", f"{cli.home}/shop2")
    cli.config.write_text(text)

    for command in (["stop", cli.app], ["remove", cli.app, "--yes"]):
        assert "was started from" in cli(*command, code=1).err

    assert project.statuses() == before


def test_logs_are_prefixed_escaped_and_redacted(cli, project):
    out = cli("logs", cli.app).out.splitlines()

    assert f"{project.name}-web-1 | hello" in out
    assert f"{project.name}-web-1 | \\x1b[31mred [redacted]" in out
    wrote = cli("logs", cli.app, "--tail", "1", "--json").json["logs"]
    assert [one["container"] for one in wrote] == [f"{project.name}-web-1"]


def test_followed_logs_end_with_the_containers(cli, project):
    argv = cli.argv("logs", cli.app, "-f")
    with subprocess.Popen(
        argv, env=cli.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        first = following.stdout.readline()
        cli("stop", cli.app)
        _, err = following.communicate(timeout=180)

    assert first == f"{project.name}-web-1 | hello\n"
    assert following.returncode == 0, err


def test_busy_app_is_4_and_nothing_is_touched(cli, project, held_lock):
    """At once: a deployment runs, which nobody waits for."""
    running = asked_for(id=RELEASE, app=cli.app)
    journals = cli.home / "state" / "apps" / cli.app / "journal"
    journals.mkdir(parents=True, exist_ok=True)
    Journal.begin(journals, running, SystemClock())
    for command in (["stop"], ["restart"], ["deploy"], ["backup"], ["remove", "--yes"]):
        ran = cli(command[0], cli.app, *command[1:], "--json", code=4)
        assert "is running" in ran.json["error"]["message"]

    assert project.statuses() == RUNNING
    (only,) = cli("history", cli.app, "--json").json["deployments"]
    assert only["id"] == RELEASE


def test_status_names_what_runs_the_hold_and_the_containers(cli, project, backup):
    project.store_release()
    cli("stop", cli.app)

    found = cli("status", cli.app, "--json").json

    assert found["running"]["revision"] == "a" * 40
    assert found["hold"]["kind"] == "stopped"
    assert found["last_deployment"] is None
    assert found["last_verified_backup"] == backup.id
    assert [(one["service"], one["status"]) for one in found["containers"]] == [
        ("db", "exited"),
        ("web", "exited"),
    ]
    assert cli("status", "--json").json == {"apps": [found]}
    out = cli("status").out
    assert "stopped by hand" in out
    assert f"{project.name}-web-1" in out


def test_nothing_to_stop_is_2(cli):
    cli.configure(project=f"sa-cli-{uuid.uuid4().hex[:8]}")

    assert f"no containers of {cli.app}" in cli("stop", cli.app, code=2).err


def test_backups_are_listed_from_disk(cli, backup):
    listed = cli("backups", cli.app, "--json").json["backups"]

    assert [one["id"] for one in listed] == [backup.id]
    assert backup.id in cli("backups", cli.app).out


def test_backup_is_made_now(cli, backup):
    made = cli("backup", cli.app, "--json").json

    assert made["kind"] == "manual"
    assert made["verified_at"]
    assert [one["id"] for one in cli("backups", cli.app, "--json").json["backups"]] == [
        made["id"],
        backup.id,
    ]


def test_status_works_without_docker(cli):
    ran = cli("status", "shop", "--json", DOCKER_HOST="unix:///nonexistent/docker.sock")

    assert ran.json["containers"] is None
    assert "Docker did not answer" in ran.err
