"""`plan` says what a deploy then does, and leaves nothing behind: over twenty cases, both run."""

import re
import subprocess

import docker
import pytest

from tests.e2e.fingerprint import is_one_off
from tests.e2e.world import HERE, World, release, until
from worker import lock
from worker.adapters.compose_command import binary
from worker.decisions import Decisions

COMPOSE = (HERE / "app" / "docker-compose.yml").read_text()
SIDE = (
    "  side:\n    image: sheetanchor-base:1\n    command: [sleep, infinity]\n"
    "    stop_grace_period: 0s\n    environment: {GREETING: %s}\n"
)
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n"
EXIT = {"deploys": 0, "refused": 1, "held": 4}
ENDS = {"deploys": "succeeded", "refused": "failed", "held": "skipped"}


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    """One app for all cases: each begins with what the one before has left."""
    made = World(tmp_path_factory.mktemp("world"), mongod, health={"timeout": 60})
    try:
        made.prepare()
        yield made
    finally:
        made.close()


def ids(world):
    """Return service -> ids of its containers."""
    client = docker.from_env()
    try:
        label = f"com.docker.compose.project={world.name}"
        found = {}
        for one in client.containers.list(all=True, filters={"label": label}):
            found.setdefault(one.labels["com.docker.compose.service"], set()).add(one.id)
        return found
    finally:
        client.close()


def left(world):
    """Return what a plan must not change: files of the state, images, the app itself."""
    home = world.state / "apps" / world.name
    kept = ("releases", "work", "journal", "decisions.json")
    files = {
        str(path): path.stat().st_mtime_ns
        for name in kept
        for path in (home / name, *(home / name).rglob("*"))
        if path.is_file()
    }
    return files, world.fingerprint() if ids(world) else None


def both(world, *options, ends=None):
    """Plan, then deploy the same; return both answers when they agree."""
    before, there = left(world), ids(world)
    said = world.cli_json("plan", world.name, *options)
    assert left(world) == before
    ends = ends or ENDS[said["verdict"]]
    code = 1 if ends == "rolled_back" else EXIT[said["verdict"]]
    done = world.cli_json("deploy", world.name, *options, check=code)
    assert done["status"] == ends, (said, done)
    agree(said, done)
    if ends == "succeeded":
        containers(said["services"], there, ids(world))
    return said, done


def agree(said, done):
    """Both name the same revisions, and the same reason."""
    if said["verdict"] == "deploys":
        for key in ("revision", "previous_revision", "message", "author"):
            assert said[key] == done[key], key
        assert said["returns_to"] == done["previous_revision"]
        pull = next(step for step in done["steps"] if step["name"] == "pull")
        assert said["files_changed"] == pull["facts"]["files_changed"]
    elif said["verdict"] == "held":
        assert said["why"] in done["reason"]
    else:
        assert said["why"] == done["error"]["message"]


def containers(services, before, after):
    """What was said of each service is what became of its containers."""
    assert set(services["created"]) == set(after) - set(before)
    assert set(services["removed"]) == set(before) - set(after)
    for one in services["recreated"]:
        assert not before[one] & after[one], f"{one} was to be recreated"
    for one in services["kept"]:
        assert before[one] == after[one], f"{one} was to be kept"
    named = {one for names in services.values() for one in names}
    assert named == set(before) | set(after)


def test_what_is_deployed_is_what_was_planned(world):
    first, _ = both(world)
    assert (first["expected_outage_seconds"], first["expected_backup_bytes"]) == (None, None)
    assert (first["returns_to"], first["commits"]) == (None, [])
    assert first["services"]["created"] == ["web"]

    world.commit({"a.txt": "a"}, "first of two")
    world.commit({"release.json": release("two")}, "second of two")
    code, done = both(world)
    assert [one.partition(" ")[2] for one in code["commits"]] == ["second of two", "first of two"]
    assert code["files"] == ["a.txt", "release.json"]
    assert code["services"]["may_be_recreated"] == ["web"]
    assert code["expected_backup_bytes"] > 0
    assert "backups" in code["space"][0]
    assert code["could_set_aside_seconds"] >= 61
    home = world.state / "apps" / world.name
    with lock.held(home / "lock", world.name):
        assert world.cli_json("plan", world.name)["verdict"] == "waits"

    world.commit({"README.md": "no part of the image"})
    docs, _ = both(world)
    assert docs["expected_outage_seconds"] == pytest.approx(done["outage_seconds"], abs=60)

    world.commit({"docker-compose.yml": COMPOSE + SIDE % "hello"})
    assert both(world)[0]["services"]["created"] == ["side"]
    world.commit({"docker-compose.yml": COMPOSE + SIDE % "goodbye"})
    assert both(world)[0]["services"]["recreated"] == ["side"]
    world.commit({"release.json": release("three")})
    assert both(world)[0]["services"]["kept"] == ["side"]
    world.commit({"docker-compose.yml": COMPOSE})
    assert both(world)[0]["services"]["removed"] == ["side"]

    shown = world.cli("plan", world.name, check=0).stdout
    assert re.search(r"expected outage seconds +\d+(\.\d)?\n", shown)
    assert re.search(r"could set aside seconds +\d+\n", shown)


def test_persons_work_in_the_checkout_is_named_and_then_kept(world):
    (world.checkout / "a.txt").write_text("edited here")
    world.commit({"release.json": release("four")})
    said, done = both(world)
    assert said["would_be_kept_aside"] == {"commits": [], "files": ["a.txt"]}
    assert any("a.txt" in one for one in done["warnings"])

    (world.checkout / "b.txt").write_text("here")
    world.git("add", "b.txt", cwd=world.checkout)
    world.git("commit", "--quiet", "-m", "mine", cwd=world.checkout)
    world.commit({"release.json": release("five")})
    said, done = both(world)
    [mine] = said["would_be_kept_aside"]["commits"]
    assert mine.endswith(" mine")
    assert any(mine in one for one in done["warnings"])


def test_revisions_that_a_person_names(world):
    old = world.git("rev-parse", "HEAD~1")
    assert both(world, "--revision", old)[0]["revision"] == old
    assert both(world, "--no-pull")[0]["revision"] == old
    unknown = world.cli_json("plan", world.name, "--revision", "0" * 40)
    refused = world.cli_json("deploy", world.name, "--revision", "0" * 40, check=1)
    assert unknown["why"] == refused["error"]["message"]
    assert both(world)[0]["revision"] == world.git("rev-parse", "HEAD")


def test_holds(world):
    file = Decisions(world.state / "apps" / world.name / "decisions.json")
    file.hold("inconsistent", by="somebody", at="2026-01-01T00:00:00Z", reason="ill", head=None)
    assert both(world)[0]["verdict"] == "held"
    assert both(world, "--force")[0]["verdict"] == "deploys"
    world.cli("freeze", world.name, "--reason", "exam week", check=0)
    held, _ = both(world)
    assert "exam week" in held["why"]
    assert (held["files_changed"], held["commits_new"]) == (None, None)  # nobody looked
    world.cli("unfreeze", world.name, check=0)


REFUSED = {
    "privilege": {"docker-compose.yml": COMPOSE + "    privileged: true\n"},
    "no model": {"docker-compose.yml": COMPOSE + "    ports: nonsense\n"},
    "uncovered volume": {
        "docker-compose.yml": COMPOSE.replace('app/uploads"', 'app/uploads", "other:/srv"')
        + "volumes: {other: {}}\n"
    },
    "lost mount": {"docker-compose.yml": COMPOSE.replace('["./uploads:/app/uploads"]', "[]")},
    "LFS": {".gitattributes": "*.bin filter=lfs\n", "a.bin": POINTER},
    "tracked env file": {".env.production": "PORT=1\n"},
    "tracked file of the data": {"uploads/.gitkeep": "changed"},
}


@pytest.mark.parametrize("files", REFUSED.values(), ids=REFUSED.keys())
def test_refusals(world, files):
    tip = world.git("rev-parse", "HEAD")
    for name, content in files.items():
        (world.clone / name).parent.mkdir(exist_ok=True)
        (world.clone / name).write_text(content)
    world.git("add", "--force", *files)  # what is ignored, too
    world.commit({})
    try:
        said, _ = both(world)
        assert said["verdict"] == "refused"
    finally:
        world.git("reset", "--quiet", "--hard", tip)
        world.git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{world.branch}")


def test_one_off_run_under_way(world):
    world.commit({"release.json": release("six")})
    argv = [binary(), "--env-file", ".env.production", "run", "-T", "--rm", "web", "sleep", "600"]
    child = subprocess.Popen(argv, cwd=world.checkout, stdin=subprocess.DEVNULL)
    client = docker.from_env()
    wanted = {"label": [f"com.docker.compose.project={world.name}"]}
    try:
        oneoff = until(
            lambda: next(
                (one for one in client.containers.list(filters=wanted) if is_one_off(one)),
                None,
            ),
            "the one-off run has begun",
        )
        child.kill()
        child.wait()
        assert "under way" in both(world)[0]["why"]
        oneoff.remove(force=True)
    finally:
        client.close()
        child.kill()
    assert both(world)[0]["verdict"] == "deploys"


def test_way_back_leads_to_what_the_plan_named(world):
    running = world.cli_json("status", world.name)["running"]["revision"]
    world.commit({"release.json": release("seven", mode="exits")})
    said, done = both(world, ends="rolled_back")
    assert said["returns_to"] == done["previous_revision"] == running
    assert world.version() == "six"
