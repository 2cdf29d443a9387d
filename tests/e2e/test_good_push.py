import os

from tests.e2e.world import release


def test_good_push_is_deployed_and_touches_no_data(running):
    before = running.fingerprint()
    identity = running.push({"release.json": release("two")}, "Say two")

    ended = running.wait(identity)

    assert (ended["status"], ended["error"]) == ("succeeded", None)
    assert running.version() == "two"
    after = running.fingerprint()
    assert (after["database"], after["uploads"]) == (before["database"], before["uploads"])
    assert after["env"] == before["env"]
    assert after["head"] == ended["revision"] == running.git("rev-parse", "HEAD")
    assert after["containers"]["web-1"][2] == before["containers"]["web-1"][2]
    assert (ended["message"], ended["by"], ended["trigger"]) == ("Say two", "ann", "push")
    made = [b for b in running.backups() if b["deployment"] == identity]
    assert [b["kind"] for b in made] == ["pre-deploy", "fence"]
    assert all(b["verified_at"] for b in made)
    history = running.cli_json("history", running.name)["deployments"]
    assert [d["id"] for d in history][0] == identity
    assert history[0]["status"] == "succeeded"


def test_compose_up_by_hand_afterwards_changes_nothing(running):
    running.wait(running.push({"release.json": release("two")}))
    before = running.fingerprint()
    ids = running.compose("ps", "-q").stdout

    running.compose("up", "-d")

    assert running.compose("ps", "-q").stdout == ids
    assert running.fingerprint() == before


def test_tracked_default_that_the_app_replaced_stays_replaced(world):
    world.commit({"uploads/logo.txt": "the default"})
    world.begin()
    (world.uploads / "logo.txt").write_text("a user's")
    (world.uploads / ".gitkeep").unlink()

    ended = world.wait(world.push({"release.json": release("two")}))

    assert ended["status"] == "succeeded"
    assert (world.uploads / "logo.txt").read_text() == "a user's"
    assert not (world.uploads / ".gitkeep").exists()


def test_local_changes_are_kept_and_come_back_with_the_old_version(running):
    edited = running.checkout / "app.py"
    edited.write_text(edited.read_text() + "# edited on the server\n")
    bad = running.wait(running.push({"release.json": release("two", mode="exits")}))
    assert bad["status"] == "rolled_back", bad
    assert "edited on the server" in (running.checkout / "app.py").read_text()

    good = running.wait(running.push({"release.json": release("three")}))

    assert good["status"] == "succeeded", good
    assert "edited on the server" not in (running.checkout / "app.py").read_text()
    assert good["warnings"] == [
        f"Local changes to app.py were set aside as refs/sheetanchor/{good['id']}."
    ]
    kept = running.git("show", f"refs/sheetanchor/{good['id']}:app.py", cwd=running.checkout)
    assert "edited on the server" in kept
    ref = f"refs/sheetanchor/{good['id']}"
    found = running.cli_json("status", running.name)["set_aside"]
    assert found == [{"ref": ref, "deployment": good["id"], "holds": ["app.py"]}]
    assert f"git show {ref}" in running.cli("status", running.name).stdout


COMPOSE = """
include:
  - {included}
services:
  web:
    extends: {{file: {extended}, service: base}}
    build: .
    restart: unless-stopped
    stop_grace_period: 2s
    env_file: tracked.env
    ports: ["127.0.0.1:${{PORT}}:8000"]
    volumes: ["./uploads:/app/uploads", "./motd.txt:/app/motd.txt:ro"]
"""
BASE = """
services:
  base:
    extra_hosts: ["host.docker.internal:host-gateway"]
    environment: {{MONGODB_URI: "${{MONGODB_URI}}", EXTENDED: "{value}"}}
"""
INCLUDED = """
services:
  helper:
    image: sheetanchor-base:1
    command: ["sleep", "3600"]
    stop_grace_period: 1s
    init: true
    environment: {{INCLUDED: "{value}"}}
"""


def files(value):
    return {
        "docker-compose.yml": COMPOSE.format(included="included.yml", extended="base.yml"),
        "base.yml": BASE.format(value=value),
        "included.yml": INCLUDED.format(value=value),
        "tracked.env": f"TRACKED={value}\n",
        "motd.txt": f"hello {value}",
        "release.json": release(value),
    }


def test_changed_env_file_extends_include_and_mounted_file_are_taken_up(world):
    world.commit(files("old"))
    world.begin()
    inode = os.stat(world.checkout / "motd.txt").st_ino
    identity = world.push(files("new"))
    world.wait_for_step(identity, "build")
    assert os.stat(world.checkout / "motd.txt").st_ino == inode
    ended = world.wait(identity)

    assert ended["status"] == "succeeded", ended
    environment = world.environment()
    assert (environment["TRACKED"], environment["EXTENDED"]) == ("new", "new")
    assert world.ask_app("/file/app/motd.txt") == "hello new"
    inside = world.compose("exec", "-T", "helper", "printenv", "INCLUDED").stdout
    assert inside.strip() == "new"


def test_new_default_under_uploads_is_written_where_nothing_is_and_undone(running):
    ill = {"uploads/default.txt": "tracked", "release.json": release("two", mode="exits")}
    before = running.fingerprint()
    assert running.wait(running.push(ill))["status"] == "rolled_back"
    assert running.fingerprint() == before

    ended = running.wait(running.push({"release.json": release("three")}))

    assert ended["status"] == "succeeded", ended
    assert (running.uploads / "default.txt").read_text() == "tracked"


def test_first_push_into_an_empty_clone_is_deployed(world):
    """A checkout cloned before anything was pushed, as a person does who starts afresh."""
    world.prepare()
    for name in ("app.py", "Dockerfile", "docker-compose.yml", "release.json", ".gitignore"):
        (world.checkout / name).unlink()
    (world.uploads / ".gitkeep").unlink()
    world.git("update-ref", "-d", "HEAD", cwd=world.checkout)
    world.git("read-tree", "--empty", cwd=world.checkout)
    world.up()

    ended = world.wait(world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"])

    assert ended["status"] == "succeeded", ended
    assert world.git("status", "--porcelain", cwd=world.checkout) == ""


UNTRACKED = """
services:
  web:
    extends: {file: deploy/base.yml, service: base}
    build: .
    restart: unless-stopped
    stop_grace_period: 2s
    env_file:
      - .env.production
      - path: secrets/extra
        required: false
    ports: ["127.0.0.1:${PORT}:8000"]
    extra_hosts: ["host.docker.internal:host-gateway"]
    volumes: ["./uploads:/app/uploads"]
"""


def test_untracked_env_files_of_services_are_read_and_never_built_in(world):
    """They stand in the checkout only; Compose does not even list them without."""
    base = "services:\n  base:\n    env_file: [../.env.more]\n"
    ignored = ".env*\nbackups/\nsecrets/\n"
    files = {"docker-compose.yml": UNTRACKED, "deploy/base.yml": base, ".gitignore": ignored}
    dockerfile = (world.clone / "Dockerfile").read_text() + "COPY . /context/\n"
    world.commit({**files, "Dockerfile": dockerfile})
    world.prepare()
    (world.checkout / ".env.more").write_text("MORE=more\n")
    (world.checkout / "secrets").mkdir()
    (world.checkout / "secrets" / "extra").write_text("EXTRA=extra\n")
    world.up()

    ended = world.wait(world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"])

    assert ended["status"] == "succeeded", ended
    environment = world.environment()
    assert (environment["MORE"], environment["EXTRA"]) == ("more", "extra")
    listed = world.compose("exec", "-T", "web", "ls", "-A", "/context").stdout.split()
    assert "app.py" in listed
    assert not {".env.production", ".env.more"} & set(listed)
    kept = world.backups()[-1]["path"] / "config"
    assert (kept / ".env.more").read_text() == "MORE=more\n"

    (world.checkout / ".env.more").unlink()
    world.cli("restore", world.name, "--only", "env", "--yes", check=0)
    assert (world.checkout / ".env.more").read_text() == "MORE=more\n"
