"""A person cancels while a step is in the middle of its work."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.deployments import asked_for
from worker import configfile, pipeline, plan
from worker.cancels import Cancel, Cancels
from worker.clock import SystemClock
from worker.errors import BusyError, CancelledError, StepError
from worker.journal import Journal
from worker.state import State
from worker.steps import data, fence
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
ONE = asked_for()


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
        engine=SimpleNamespace(version=lambda: "well"),  # nothing here asks Docker for more
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


@pytest.mark.parametrize(
    ("kind", "last"), [("deploy", "fence"), ("rollback", "fence"), ("restore", "halt")]
)
def test_cancel_is_taken_until_just_before_what_serves_is_stopped(attempt, monkeypatch, kind, last):
    closed = {}

    def act(name):
        def run(attempt):
            closed.setdefault(name, (attempt.state.cancels / f"{ONE.id}.json").exists())
            if name == last:
                raise StepError("It broke.", remedy="Mend it.")
            return {}

        return run

    monkeypatch.setattr(pipeline, "STEPS", {name: act(name) for name in pipeline.STEPS})
    monkeypatch.setattr(fence, "check", lambda _: None)
    attempt.deployment = replace(ONE, kind=kind)
    journal = Journal.begin(attempt.state.journals, attempt.deployment, attempt.clock)

    assert pipeline.Pipeline(attempt, journal, lambda _: None).run() == "rolled_back"

    forward = plan.PLANS[kind]
    before = forward[: forward.index(last)]
    assert {name: closed[name] for name in (*before, last)} == dict.fromkeys(before, False) | {
        last: True
    }
    with pytest.raises(BusyError):
        attempt.cancels.ask(Cancel(attempt.deployment, by="bob", at="now", reason=None))
