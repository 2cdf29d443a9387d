"""One real push, and what others hear of it: GitHub."""

import pytest

from tests.e2e.world import World, release, until
from tests.github_server import TOKEN, GitHubServer


@pytest.fixture(scope="module")
def github():
    made = GitHubServer("acme/shop")
    yield made
    made.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod, github):
    made = World(tmp_path_factory.mktemp("told"), mongod)
    token = made.home / "github.token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    text = made.config.read_text()
    text = text.replace("[server]\n", '[server]\npublic_url = "https://deploy.example.org"\n')
    text += f'[github]\ntoken_file = "{token}"\napi_url = "{github.url}"\n'
    made.config.write_text(text)
    made.begin()
    yield made
    made.tell()
    made.close()


def test_push_is_shown_at_github_once_it_is_deployed(world, github):
    deployment = world.push({"release.json": release("two")})
    revision = world.git("rev-parse", "HEAD")
    assert world.wait(deployment)["status"] == "succeeded"

    def shown():
        status = github.shown(revision, f"deploy/{world.name}")
        return status and status["state"] == "success"

    until(shown, "GitHub shows the success")
    [made] = [one for one in github.deployments if one["ref"] == revision]

    def deployed():
        return github.states(made["id"])[-1:] == ["success"]

    until(deployed, "GitHub shows the deployment's success")
    log = f"https://deploy.example.org/api/v1/deployments/{deployment}/log"
    assert github.shown(revision, f"deploy/{world.name}")["target_url"] == log
    assert world.cli_json("status", world.name)["github"]["failed"] is None
