"""A person cancels while a step is in the middle of its work."""

import pytest

from worker import configfile
from worker.cancels import Cancel, Cancels
from worker.clock import SystemClock
from worker.deployment import Deployment
from worker.errors import CancelledError
from worker.state import State
from worker.steps import data
from worker.steps.attempt import Attempt

TOML = """
[server]
state_dir = "{home}/state"
[apps.shop]
repository = "acme/shop"
checkout = "{home}/shop"
webhook_secret_file = "{home}/secret"
[apps.shop.data]
uploads = ["uploads"]
"""
ONE = Deployment(
    id="20261122t143000-3f9a1c",
    app="shop",
    kind="deploy",
    trigger="push",
    by="ann",
    queued_at="2026-11-22T14:30:00.000Z",
)


@pytest.fixture
def attempt(tmp_path):
    (tmp_path / "shop" / "uploads").mkdir(parents=True)
    (tmp_path / "shop" / "uploads" / "photo").write_text("a photo")
    path = tmp_path / "sheetanchor.toml"
    path.write_text(TOML.format(home=tmp_path))
    config = configfile.load(path)
    app = config.apps["shop"]
    return Attempt(
        app=app,
        deployment=ONE,
        state=State.of(config, app),
        clock=SystemClock(),
        engine=None,  # nothing here asks Docker
        say=lambda _: None,
        facts={"deploy.preflight": {"head": {"revision": "a" * 40}}},
    )


@pytest.fixture
def cancelled(attempt):
    Cancels(attempt.state.cancels).ask(Cancel(ONE, by="bob", at="now", reason=None))


def kept(attempt):
    return [path for path in attempt.app.backup_dir.glob("*") if path.name[0] != "."]


def test_backup_is_given_up_and_leaves_nothing(attempt, cancelled):
    with pytest.raises(CancelledError, match="bob cancelled it"):
        data.back_up(attempt, "pre-deploy", previous=None)

    assert list(attempt.app.backup_dir.iterdir()) == []


def test_way_back_is_not_given_up(attempt, cancelled):
    attempt.phase = "way_back"

    made = data.back_up(attempt, "safety", previous=None)

    assert [path.name for path in kept(attempt)] == [made.id]
