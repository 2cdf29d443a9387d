"""A person goes back: the data stays, and nothing brings the left version back but a new push."""

import gzip
import uuid

import bson
import docker
import pytest

from tests.e2e.world import release

TWO = {"release.json": release("two")}


@pytest.fixture
def two(running):
    """Version two runs after version one, and people have written through it."""
    running.guid = str(uuid.uuid4())
    running.before_two = running.git("rev-parse", "HEAD")
    running.fence = running.fingerprint()
    revision = running.commit(TWO, "Say two")
    status, answer = running.deliver(revision, before=running.before_two, guid=running.guid)
    assert status == 202, answer
    running.second = running.wait(answer["deployment"])
    assert running.second["status"] == "succeeded", running.second
    write_through(running)
    return running


def write_through(world):
    assert world.post("/documents", b'{"name": "written through two"}')
    assert world.post("/files/through-two.txt", b"through two")


def written_through_two_is_there(world):
    document = world.db.documents.count_documents({"name": "written through two"})
    return (document, (world.uploads / "through-two.txt").exists()) == (1, True)


def hold(world):
    return world.cli_json("status", world.name)["hold"]


def newest_id(world):
    return world.cli_json("history", world.name)["deployments"][0]["id"]


def redeliver(world, revision):
    """Redeliver under a new GUID, as who captured a delivery can; return its deployment."""
    status, answer = world.deliver(revision, before=world.before_two)
    assert status == 202, answer
    return world.wait(answer["deployment"])


def test_rollback_keeps_the_data_and_nothing_brings_the_left_version_back(two):
    left = two.second["revision"]
    data = two.fingerprint()

    ended = two.cli_json("rollback", two.name)

    assert (ended["status"], ended["kind"], ended["trigger"]) == ("succeeded", "rollback", "cli")
    assert ended["revision"] == two.before_two
    assert ended["previous_revision"] == left
    assert two.version() == "one"
    assert written_through_two_is_there(two)
    now = two.fingerprint()
    assert (now["database"], now["uploads"]) == (data["database"], data["uploads"])
    assert now["head"] == two.before_two
    assert (hold(two)["kind"], hold(two)["left"]) == ("rolled_back", left)

    again = two.deliver(left, before=two.before_two, guid=two.guid)
    assert again == (200, {"status": "duplicate", "deployment": two.second["id"]})
    replayed = redeliver(two, left)
    assert replayed["status"] == "skipped"
    reason = two.cli("show", replayed["id"]).stdout
    assert "rolled_back" in reason, reason

    two.stop(two.server)
    two.up()
    assert redeliver(two, left)["status"] == "skipped"
    history = two.cli_json("history", two.name)["deployments"]
    assert next(d["id"] for d in history if d["status"] != "skipped") == ended["id"]
    assert two.version() == "one"

    three = two.wait(two.push({"release.json": release("three")}))
    assert three["status"] == "succeeded", three
    assert two.version() == "three"
    assert hold(two) is None


def test_rollback_through_the_api_keeps_the_data(two):
    status, answer = two.api("POST", f"/apps/{two.name}/rollback", {"reason": "two is odd"})
    assert status == 202, answer

    ended = two.wait(answer["deployment"])

    assert (ended["status"], ended["trigger"]) == ("succeeded", "api"), ended
    assert ended["reason"] == "two is odd"
    assert two.version() == "one"
    assert written_through_two_is_there(two)
    assert redeliver(two, two.second["revision"])["status"] == "skipped"
    assert two.version() == "one"


@pytest.mark.parametrize("way", ["cli", "api"])
def test_rollback_with_data_puts_back_the_fence_and_sets_aside_what_was_written(two, way):
    if way == "cli":
        ended = two.cli_json("rollback", two.name, "--data", "restore", "--yes")
    else:
        body = {"data": "restore", "confirm": two.name}
        status, answer = two.api("POST", f"/apps/{two.name}/rollback", body)
        assert status == 202, answer
        ended = two.wait(answer["deployment"])

    assert ended["status"] == "succeeded", ended
    assert two.version() == "one"
    now = two.fingerprint()
    assert (now["database"], now["uploads"]) == (two.fence["database"], two.fence["uploads"])
    aside = next(b for b in two.backups() if b["id"] == ended["safety_backup"])
    assert (aside["kind"], aside["deployment"]) == ("safety", ended["id"])
    kept = gzip.decompress(next(aside["path"].glob("mongodb/*/documents.bson.gz")).read_bytes())
    assert "written through two" in [d.get("name") for d in bson.decode_all(kept)]
    assert (aside["path"] / "uploads/uploads/through-two.txt").read_text() == "through two"
    assert hold(two)["kind"] == "rolled_back"


def test_rollback_of_data_needs_the_apps_name(two):
    path = f"/apps/{two.name}/rollback"
    status, answer = two.api("POST", path, {"data": "restore"})
    assert (status, answer["status"]) == (400, 400)
    refused = two.cli("rollback", two.name, "--data", "restore", input="no\n")
    assert refused.returncode == 2
    assert two.version() == "two"
    assert written_through_two_is_there(two)


def test_rollback_to_a_named_deployment(two):
    first = two.cli_json("history", two.name)["deployments"][-1]
    three = two.wait(two.push({"release.json": release("three")}))
    assert three["status"] == "succeeded", three

    ended = two.cli_json("rollback", two.name, "--to", first["id"])

    assert (ended["status"], ended["revision"]) == ("succeeded", first["revision"])
    assert two.version() == "one"
    assert written_through_two_is_there(two)

    two.cli("rollback", two.name, check=2)  # before the first there was nothing
    back = two.cli_json("rollback", two.name, "--to", three["id"])

    assert (back["status"], back["revision"]) == ("succeeded", three["revision"])
    assert two.version() == "three"


def test_rollback_to_what_is_not_stored_changes_nothing(two):
    before = two.fingerprint()
    refused = two.cli("rollback", two.name, "--to", "20200101t000000-000000")
    assert refused.returncode == 2
    assert "20200101t000000-000000" in refused.stderr
    assert two.fingerprint() == before


def test_rollback_reads_todays_env_file(two):
    env = two.checkout / ".env.production"
    env.write_text(env.read_text().replace(two.uri, f"{two.uri}?appName=today"))

    two.cli("rollback", two.name, check=0)

    assert two.version() == "one"
    assert two.environment()["MONGODB_URI"] == f"{two.uri}?appName=today"


def test_rollback_builds_again_what_docker_has_lost(two):
    client = docker.from_env()
    try:
        stored = client.images.list(f"sheetanchor/{two.name}")
        running = {c.image.id for c in client.containers.list()}
        old = [image for image in stored if image.id not in running]
        assert old
        for image in old:
            client.images.remove(image.id, force=True)
    finally:
        client.close()

    two.cli("rollback", two.name, check=0)

    assert two.version() == "one"
    assert written_through_two_is_there(two)


def test_ill_rollback_goes_back_to_what_ran(world):
    """Version one can not run on what version two made of the data."""
    refuses = 'import sys\nif db.documents.find_one({"name": "written through two"}): sys.exit(9)\n'
    world.commit({"migration.py": refuses})
    world.begin()
    two = world.wait(world.push(TWO | {"migration.py": None}))
    assert two["status"] == "succeeded", two
    write_through(world)
    before = world.fingerprint()

    done = world.cli("--json", "rollback", world.name)

    assert done.returncode == 1, done.stderr
    assert world.version() == "two"
    assert world.fingerprint() == before
    assert world.deployment(newest_id(world))["status"] == "rolled_back"
    assert hold(world) is None


def test_redeploy_through_the_api_ends_a_rollback(two):
    two.cli("rollback", two.name, check=0)

    status, answer = two.api("POST", f"/apps/{two.name}/deployments", {})
    assert status == 202, answer
    ended = two.wait(answer["deployment"])

    assert (ended["status"], ended["revision"]) == ("succeeded", two.second["revision"]), ended
    assert two.version() == "two"
    assert written_through_two_is_there(two)
    assert hold(two) is None


def test_redeploy_of_what_runs_is_not_skipped_for_a_person(two):
    ids = two.compose("ps", "-q").stdout
    status, answer = two.api("POST", f"/apps/{two.name}/deployments", {})
    assert status == 202, answer

    ended = two.wait(answer["deployment"])

    assert ended["status"] == "succeeded", ended
    assert two.version() == "two"
    assert two.compose("ps", "-q").stdout == ids


def test_pinned_revision_stays_over_a_redelivery_until_a_newer_push(two):
    ended = two.cli_json("deploy", two.name, "--revision", two.before_two)
    assert (ended["status"], ended["revision"]) == ("succeeded", two.before_two)
    assert two.version() == "one"
    assert hold(two)["kind"] == "pinned"

    assert redeliver(two, two.second["revision"])["status"] == "skipped"
    assert two.version() == "one"

    three = two.wait(two.push({"release.json": release("three")}))
    assert three["status"] == "succeeded", three
    assert two.version() == "three"
    assert hold(two) is None


def test_pinned_revision_through_the_api(two):
    body = {"revision": two.before_two}
    status, answer = two.api("POST", f"/apps/{two.name}/deployments", body)
    assert status == 202, answer

    ended = two.wait(answer["deployment"])

    assert (ended["status"], ended["requested_revision"]) == ("succeeded", two.before_two), ended
    assert two.version() == "one"
