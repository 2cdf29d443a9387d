"""`plan` says what a deploy then does, and leaves nothing behind."""

from tests.e2e.world import release
from worker import lock


def test_plan_says_what_the_deployment_then_does(world):
    world.prepare()
    app, home = world.name, world.state / "apps" / world.name
    first = world.cli_json("plan", app)
    assert (first["verdict"], first["expected_outage_seconds"]) == ("deploys", None)
    assert world.cli_json("deploy", app)["status"] == "succeeded"

    before = world.fingerprint()
    world.commit({"release.json": release("two")})
    releases = sorted((home / "releases").iterdir())
    good = world.cli_json("plan", app)
    assert world.fingerprint() == before
    assert sorted((home / "releases").iterdir()) == releases
    assert not list((home / "work").iterdir())
    with lock.held(home / "lock", app):
        assert world.cli_json("plan", app)["verdict"] == "waits"
    done = world.cli_json("deploy", app)
    assert (good["verdict"], done["status"]) == ("deploys", "succeeded")
    for key in ("revision", "previous_revision", "message", "author"):
        assert good[key] == done[key]
    assert good["files"] == ["release.json"]
    assert good["services"]["created"] == good["services"]["removed"] == []

    world.commit({".gitmodules": ""})
    bad = world.cli_json("plan", app)
    refused = world.cli_json("deploy", app, check=1)
    assert (bad["verdict"], refused["status"]) == ("refused", "failed")
    assert bad["why"] == refused["error"]["message"]
