"""Real pushes that wait for their CI, and what others hear of them: GitHub and people."""

import pytest

from tests.e2e.world import World, release, until
from tests.github_server import TOKEN, GitHubServer
from tests.listener import Listener

CANARY = "canary-in-an-address"


@pytest.fixture(scope="module")
def github():
    made = GitHubServer("acme/shop")
    yield made
    made.close()


@pytest.fixture(scope="module")
def chat():
    made = Listener()
    yield made
    made.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod, github, chat):
    made = World(tmp_path_factory.mktemp("told"), mongod, app={"gate.require_ci": True})
    address = f"json://ann:{CANARY}@127.0.0.1:{chat.server_port}/"
    for name, secret in {"github.token": TOKEN, "chat": address}.items():
        (made.home / name).write_text(secret)
        (made.home / name).chmod(0o600)
    text = made.config.read_text()
    text = text.replace("[server]\n", '[server]\npublic_url = "https://deploy.example.org"\n')
    text += f'[github]\ntoken_file = "{made.home}/github.token"\napi_url = "{github.url}"\n'
    text += f'[notify]\nurls = ["{made.home}/chat"]\n'
    made.config.write_text(text)
    try:
        made.prepare()
        made.up()
        revision = made.git("rev-parse", "HEAD")
        assert ran(made, revision) == (200, {"status": "noted", "revision": revision})
        first = made.wait(made.deliver(revision)[1]["deployment"])
        assert first["status"] == "succeeded", first
        yield made
    finally:
        made.tell()
        made.close()


def ran(world, revision, conclusion="success", **fields):
    """Deliver the end of a CI run of a revision, as GitHub does."""
    run = {
        "id": 7,
        "run_attempt": 1,
        "workflow_id": 3,
        "name": "tests",
        "event": "push",
        "head_branch": "main",
        "head_sha": revision,
        "conclusion": conclusion,
        "head_repository": {"full_name": "acme/shop"},
        **fields,
    }
    return world.deliver(revision, event="workflow_run", action="completed", workflow_run=run)


def state(world, github, revision):
    shown = github.shown(revision, f"deploy/{world.name}")
    return shown and shown["state"]


def test_push_waits_visibly_for_its_ci_and_is_shown_at_github(world, github):
    deployment = world.push({"release.json": release("two")})
    revision = world.git("rev-parse", "HEAD")

    def why():
        shown = world.cli_json("show", deployment)
        return shown["status"] == "queued" and shown["reason"]

    waits = f"It waits for a successful CI run of {revision[:12]}."
    assert until(why, "the reason is shown") == waits
    assert world.api("GET", f"/deployments/{deployment}")[1]["reason"] == waits
    assert f"{deployment} deploy queued: {waits}" in world.cli("status", world.name).stdout
    until(lambda: state(world, github, revision) == "pending", "GitHub shows that it waits")
    ran(world, revision, event="issue_comment")  # anybody's
    ran(world, revision, head_repository={"full_name": "mallory/shop"})
    assert world.deployment(deployment) is None

    ran(world, revision)

    ended = world.wait(deployment)
    assert (ended["status"], ended["reason"]) == ("succeeded", None)
    assert world.version() == "two"
    until(lambda: state(world, github, revision) == "success", "GitHub shows the success")
    [made] = [one for one in github.deployments if one["ref"] == revision]
    until(lambda: github.states(made["id"])[-1:] == ["success"], "so does its deployment")
    log = f"https://deploy.example.org/api/v1/deployments/{deployment}/log"
    assert github.shown(revision, f"deploy/{world.name}")["target_url"] == log
    assert world.cli_json("status", world.name)["github"]["failed"] is None


def test_failed_ci_is_a_decision_that_people_hear_of_and_may_override(world, github, chat):
    deployment = world.push({"release.json": release("three")})
    revision = world.git("rev-parse", "HEAD")

    ran(world, revision, "failure")

    ended = world.wait(deployment)
    assert (ended["status"], ended["error"]["step"]) == ("failed", "accept")
    assert ended["error"]["message"] == "CI failed: tests ended with failure."
    assert world.decisions.read()["head"]["decision"] == "failed"
    assert world.version() == "two"
    until(lambda: chat.heard, "people hear of it")
    assert chat.heard[0]["title"] == (
        f"{world.name}: deploy of {revision[:12]} failed, and users saw nothing of it"
    )
    assert "CI failed: tests ended with failure." in chat.heard[0]["message"]

    assert world.cli_json("deploy", world.name)["status"] == "succeeded", "a person is not held"
    assert world.version() == "three"
    until(lambda: len(chat.heard) == 2, "people hear that it works again")
    assert chat.titles[1] == f"{world.name}: deploying works again"
    until(lambda: state(world, github, revision) == "success", "GitHub shows that, too")
    assert world.pids(CANARY) + world.pids(TOKEN) == []
    logs = "".join(path.read_text() for path in world.home.glob("*.log"))
    assert '"event": "notice.sent"' in logs
    assert "exception raised" not in logs
    assert CANARY not in logs
    assert TOKEN not in logs
