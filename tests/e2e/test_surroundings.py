"""What is wrong around a push: it ends `failed`, before anything changed, and says what to do."""

import shutil

import pytest

from tests.e2e import fingerprint
from tests.e2e.conftest import Mongod
from tests.e2e.world import World, release

TWO = {"release.json": release("two")}
COMPOSE = (
    "services:\n  web:\n    build: .\n    restart: unless-stopped\n    stop_grace_period: 2s\n"
    "    environment: {MONGODB_URI: '${MONGODB_URI}'}\n    ports: ['127.0.0.1:${PORT}:8000']\n"
    "    extra_hosts: ['host.docker.internal:host-gateway']\n"
)


@pytest.fixture(scope="module")
def own_mongod(tmp_path_factory):
    """A mongod that these tests may stop."""
    server = Mongod(tmp_path_factory.mktemp("own-mongod"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory, own_mongod):
    """One world for all: what fails must leave it as it was anyway."""
    made = World(tmp_path_factory.mktemp("world"), own_mongod)
    made.begin()
    made.first = made.git("rev-parse", "HEAD")
    yield made
    made.close()


@pytest.fixture
def world(shared):
    yield shared
    shared.git("reset", "--hard", "--quiet", shared.first)
    shared.git("clean", "-fdq")


@pytest.fixture
def running(world):
    return world


@pytest.fixture
def fresh(tmp_path, own_mongod):
    """A world in which nothing was ever deployed."""
    made = World(tmp_path, own_mongod)
    yield made
    made.close()


def refused(world, identity, step, *words):
    """Wait for a deployment's end; what it says must hold all of these words."""
    ended = world.wait(identity)
    error = ended["error"] or {"step": None, "message": "", "remedy": ""}
    assert (ended["status"], error["step"]) == ("failed", step), ended
    said = f"{error['message']}\n{error['remedy']}"
    assert [word for word in words if word not in said] == [], said
    assert "fault of sheetanchor's" not in said
    return ended


def refused_and_unchanged(world, files, step, *words):
    """Push files; the deployment must be refused and leave everything as it was."""
    before, images, version = world.fingerprint(), names(world), world.version()
    ended = refused(world, world.push(files), step, *words)
    assert world.version() == version
    assert world.fingerprint() == before
    assert names(world) == images
    return ended


def names(world):
    """Return what the images of the app are called, pins too."""
    return fingerprint.images(world.name)


def test_missing_env_file_is_named(world):
    env = world.checkout / ".env.production"
    text = env.read_bytes()
    containers, version = world.containers(), world.version()
    env.unlink()
    try:
        refused(world, world.push(TWO), "preflight", f"{env} does not exist", "--only env")
        assert (world.version(), world.containers()) == (version, containers)
    finally:
        env.write_bytes(text)
        env.chmod(0o600)


def test_variable_that_the_env_file_lacks_is_named(world):
    env = world.checkout / ".env.production"
    text = env.read_text()
    env.write_text(text.replace("MONGODB_URI=", "MONGO_URL="))
    try:
        refused_and_unchanged(world, TWO, "preflight", "MONGODB_URI", "data.mongodb")
    finally:
        env.write_text(text)


@pytest.mark.parametrize(
    "line", ["MONGO URI@x=hunter2secret", 'X="hunter2secret'], ids=["name", "quote"]
)
def test_env_file_that_cannot_be_read_is_refused_without_showing_the_line(world, line):
    env = world.checkout / ".env.production"
    text = env.read_text()
    env.write_text(f"{text}{line}\n")
    try:
        ended = refused_and_unchanged(world, TWO, "preflight", str(env), "line ", "Mend that")
        assert "hunter2secret" not in f"{ended}"
    finally:
        env.write_text(text)


def test_env_file_in_the_revision_is_refused(world):
    files = {".gitignore": "backups/\n", ".env.production": "MONGODB_URI=mongodb://x/y\n"}
    refused_and_unchanged(world, files, "pull", "tracks the env file .env.production", "git rm")


@pytest.mark.parametrize(
    "files",
    [{"uploads/upload-1.txt": "theirs"}, {"uploads/.gitkeep": "x"}, {"uploads/.gitkeep": None}],
    ids=["added", "changed", "deleted"],
)
def test_tracked_change_under_uploads_is_refused(world, files):
    path = next(iter(files))
    refused_and_unchanged(world, TWO | files, "pull", path, "data path uploads", "revert")


def test_untracked_file_in_the_way_is_refused(world):
    mine = world.checkout / "notes.txt"
    mine.write_text("a person's")
    try:
        refused_and_unchanged(
            world, TWO | {"notes.txt": "theirs"}, "pull", "untracked file notes.txt", str(mine)
        )
        assert mine.read_text() == "a person's"
    finally:
        mine.unlink()


def test_untracked_file_where_the_revision_has_a_folder_is_refused(world):
    mine = world.checkout / "notes"
    mine.write_text("a person's")
    try:
        refused_and_unchanged(
            world, TWO | {"notes/today.txt": "theirs"}, "pull", "untracked file notes", str(mine)
        )
        assert mine.read_text() == "a person's"
    finally:
        mine.unlink()


def test_untracked_folder_where_the_revision_has_a_file_is_refused(world):
    mine = world.checkout / "notes"
    (mine / "of").mkdir(parents=True)
    (mine / "of" / "today.txt").write_text("a person's")
    try:
        refused_and_unchanged(
            world, TWO | {"notes": "theirs"}, "pull", "untracked file notes/of/today.txt"
        )
        assert (mine / "of" / "today.txt").read_text() == "a person's"
    finally:
        shutil.rmtree(mine)


def test_missing_compose_file_is_named(world):
    files = {"docker-compose.yml": None}
    refused_and_unchanged(world, files, "pull", "docker-compose.yml", "compose_files")


def test_broken_compose_file_is_refused_in_composes_own_words(world):
    files = {"docker-compose.yml": "services:\n  web:\n    bilud: .\n"}
    ended = refused_and_unchanged(world, files, "pull", "services.web", "bilud", "config")
    assert str(world.state) not in ended["error"]["message"]


def test_lost_uploads_mount_is_refused(world):
    files = {"docker-compose.yml": COMPOSE}
    refused_and_unchanged(world, files, "pull", "web", "/app/uploads", "Keep the mount")


def test_uploads_mounted_from_elsewhere_are_refused(world):
    files = {"docker-compose.yml": COMPOSE + "    volumes: ['./files:/app/uploads']\n"}
    refused_and_unchanged(world, files, "pull", "/app/uploads", "files", "Keep the mount")


def test_provider_service_is_refused(world, tmp_path):
    canary = tmp_path / "canary"
    provider = f"  db:\n    provider: {{type: touch, options: {{name: {canary}}}}}\n"
    compose = COMPOSE + "    volumes: ['./uploads:/app/uploads']\n" + provider
    refused_and_unchanged(world, {"docker-compose.yml": compose}, "pull", "db", "provider")
    assert not canary.exists()


def test_mongodb_that_is_down_is_named_and_its_head_is_tried_again(world):
    before = world.fingerprint()
    world.mongod.stop()
    try:
        identity = world.push(TWO)
        refused(world, identity, "preflight", "MongoDB could not", "mongod runs")
    finally:
        world.mongod.start()
    assert world.fingerprint() == before

    again = world.wait(world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"])

    assert again["status"] == "succeeded", again
    world.first = world.git("rev-parse", "HEAD")


def test_mongodb_that_goes_down_meanwhile_decides_nothing(world):
    before = world.fingerprint()
    slow = (world.clone / "Dockerfile").read_text().replace("COPY", "RUN sleep 4\nCOPY", 1)
    identity = world.push({"Dockerfile": slow, "release.json": release("two slow")})
    world.wait_for_step(identity, "build")
    world.mongod.stop()
    try:
        ended = world.wait(identity)
    finally:
        world.mongod.start()
    assert ended["status"] in ("failed", "rolled_back"), ended
    assert "MongoDB could not" in ended["error"]["message"]
    assert world.fingerprint() == before

    again = world.wait(world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"])

    assert again["status"] == "succeeded", again
    world.first = world.git("rev-parse", "HEAD")


def test_wrong_clone_url_is_named(fresh):
    right = str(fresh.origin)
    fresh.config.write_text(fresh.config.read_text().replace(right, f"{right}.not"))
    fresh.up()

    identity = fresh.deliver(fresh.git("rev-parse", "HEAD"))[1]["deployment"]

    refused(fresh, identity, "preflight", f"{right}.not", "clone_url")
    assert not fresh.checkout.exists()


def test_missing_checkout_is_cloned_and_its_missing_env_file_named(fresh):
    fresh.up()

    identity = fresh.deliver(fresh.git("rev-parse", "HEAD"))[1]["deployment"]

    refused(fresh, identity, "preflight", ".env.production does not exist", "Write it")
    assert (fresh.checkout / "docker-compose.yml").exists()


def test_folder_that_is_no_checkout_is_left_alone(fresh):
    fresh.checkout.mkdir()
    (fresh.checkout / "precious").write_text("a person's")
    fresh.up()

    identity = fresh.deliver(fresh.git("rev-parse", "HEAD"))[1]["deployment"]

    refused(fresh, identity, "preflight", f"{fresh.checkout} is there", "Move it away")
    assert (fresh.checkout / "precious").read_text() == "a person's"


def test_branch_that_the_remote_does_not_have_is_named(fresh):
    fresh.prepare()
    fresh.git("branch", "-m", fresh.branch, "other", cwd=fresh.origin)
    fresh.up()

    identity = fresh.deliver(fresh.git("rev-parse", "HEAD"))[1]["deployment"]

    refused(fresh, identity, "preflight", "no branch main", "mend branch")


def test_password_of_a_clone_url_is_not_shown(fresh):
    fresh.prepare()
    fresh.config.write_text(
        fresh.config.read_text().replace(
            str(fresh.origin), "http://ann:hunter2secret@127.0.0.1:1/shop"
        )
    )
    done = fresh.cli("deploy", fresh.name, check=1)

    assert "hunter2secret" not in done.stdout + done.stderr
    assert "127.0.0.1:1/shop" in done.stderr


def test_docker_that_is_down_is_named(fresh, monkeypatch):
    fresh.prepare()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{fresh.home}/no-docker.sock")
    fresh.up()
    monkeypatch.delenv("DOCKER_HOST")

    identity = fresh.deliver(fresh.git("rev-parse", "HEAD"))[1]["deployment"]

    refused(fresh, identity, "preflight", "Docker did not answer", "systemctl start docker")
    assert fresh.containers() == {}
