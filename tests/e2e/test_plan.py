"""`plan` says what a deploy then does, and leaves nothing behind."""

from tests.e2e.world import release
from worker import lock
from worker.decisions import Decisions


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
    ids = world.compose("ps", "-q").stdout
    done = world.cli_json("deploy", app)
    assert good["services"]["may_be_recreated"]
    assert world.compose("ps", "-q").stdout != ids
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


def test_plan_names_holds_and_new_privileges_as_the_deployment_does(world):
    world.prepare()
    app, home = world.name, world.state / "apps" / world.name
    assert world.cli_json("deploy", app)["status"] == "succeeded"

    file = Decisions(home / "decisions.json")
    file.hold("inconsistent", by="somebody", at="2026-01-01T00:00:00Z", reason="ill", head=None)
    decided = file.path.read_bytes()
    held = world.cli_json("plan", app)
    assert file.path.read_bytes() == decided
    skipped = world.cli_json("deploy", app, check=4)
    assert (held["verdict"], skipped["status"]) == ("held", "skipped")
    assert held["why"] in skipped["reason"]
    assert world.cli_json("plan", app, "--force")["verdict"] == "deploys"

    file.write(hold=None)
    text = (world.clone / "docker-compose.yml").read_text()
    world.commit({"docker-compose.yml": text + "    privileged: true\n"})
    bad = world.cli_json("plan", app)
    refused = world.cli_json("deploy", app, check=1)
    assert (bad["verdict"], refused["status"]) == ("refused", "failed")
    assert bad["why"] == refused["error"]["message"]
    assert "approve ID`" in bad["remedy"]
