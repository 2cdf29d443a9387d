"""Journals that nobody can finish: torn, damaged, copied by hand, or a newer sheetanchor's."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from tests.clocks import LateClock
from tests.deployments import asked_for
from worker import configfile, recovery, surroundings
from worker.adapters.containers import Container
from worker.clock import SystemClock
from worker.decisions import judge
from worker.deployment import Deployment
from worker.errors import ConfigError, DiedError, HeldError
from worker.jobs import Runner
from worker.journal import Journal

TOML = """
[server]
state_dir = "{home}/state"
[apps.shop]
repository = "acme/shop"
checkout = "{home}/shop"
webhook_secret_file = "{home}/secret"
"""
CLOCK = SystemClock()


@pytest.fixture
def runner(tmp_path):
    path = tmp_path / "sheetanchor.toml"
    path.write_text(TOML.format(home=tmp_path))
    config = configfile.load(path)
    return Runner(config, config.apps["shop"], None)


def begun(runner, *, end=None):
    """Return the path of a journal with a step begun."""
    journal = Journal.begin(runner.state.journals, asked_for(app="shop"), CLOCK)
    journal.append("deploy", "switch", "intent")
    if end:
        journal.append("after", "end", "end", {"status": end, "error": None})
    return journal.path


def damage(path):
    """Have the second record be what a disk made of it."""
    first, second, *rest = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([first, b"\0" * len(second), *rest]))


def recovered(runner):
    with runner.locked():
        return runner.recover()


@pytest.mark.parametrize("content", [b"", b'{"deployment": "2026', b"\0" * 512])
def test_journal_of_which_not_even_a_line_was_written_is_forgotten(runner, content):
    path = runner.state.journals / f"{asked_for().id}.jsonl"
    path.write_bytes(content)

    assert recovered(runner) == []
    assert list(runner.state.journals.iterdir()) == []
    assert runner.decisions.read()["hold"] is None


@pytest.mark.parametrize("damaged", [damage, lambda path: path.write_text("[1]\n")])
def test_open_journal_that_cannot_be_read_calls_a_person_once_and_blocks_nothing(runner, damaged):
    path = begun(runner)
    damaged(path)
    content = path.read_bytes()

    assert recovered(runner) == []
    assert recovered(runner) == []

    [kept] = runner.state.journals.iterdir()
    assert kept.read_bytes() == content
    hold = runner.decisions.read()["hold"]
    assert hold["kind"] == "inconsistent"
    assert str(path) in hold["reason"]
    with pytest.raises(HeldError, match="resume shop"):
        judge(runner.decisions.read(), asked_for(), "a" * 40)
    with runner.locked():
        runner.orders.end("inconsistent", by="ann", at="2026-11-22T10:00:00Z", reason=None)
    assert runner.decisions.read()["hold"] is None


def test_damaged_journal_of_a_deployment_that_had_ended_is_only_set_aside(runner):
    path = begun(runner, end="succeeded")
    damage(path)

    assert recovered(runner) == []
    assert not path.exists()
    assert runner.decisions.read()["hold"] is None


def test_version_that_served_long_and_whose_release_is_damaged_is_left_to_a_person(
    runner, monkeypatch
):
    """It was tried every 5 seconds, for ever, and nobody was told."""
    monkeypatch.setattr(surroundings, "wait_for_both", lambda *_: None)
    yesterday = LateClock(timedelta(days=-1))
    journal = Journal.begin(runner.state.journals, asked_for(app="shop"), yesterday)
    journal.append("deploy", "switch", "intent", {"up": True})
    release = runner.state.releases / journal.path.stem
    release.mkdir()
    (release / "images.json").write_bytes(b"\0" * 80)

    assert recovered(runner) == [(journal.path.stem, "inconsistent")]
    assert runner.decisions.read()["hold"]["kind"] == "inconsistent"


def test_decisions_that_cannot_be_read_are_named_with_what_to_do(runner):
    runner.decisions.path.write_text("{")

    with pytest.raises(ConfigError, match=f"{runner.decisions.path} could not be read") as told:
        runner.decisions.read()
    assert "freeze" in told.value.remedy


def test_a_copy_that_a_person_made_of_an_open_journal_is_not_gone_back_on(runner):
    path = begun(runner, end="succeeded")
    whole = path.read_bytes()
    copy = path.with_name(f"{path.stem}-copy.jsonl")
    copy.write_bytes(whole[: whole.rindex(b'{"deployment"')])

    assert recovery.open_journals(runner.state, CLOCK) == []


def test_what_a_newer_sheetanchor_noted_is_read_by_an_older_one():
    deployment = asked_for()
    container = dict.fromkeys(Container.__dataclass_fields__, "") | {"mounts": []}
    later = {"later": True}

    assert Deployment.from_dict(deployment.as_dict() | later) == deployment
    assert Container.from_dict(container | later) == Container.from_dict(container)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("deploy", "a worker tries the branch's head again"),
        ("restore", "Ask for the restore again"),
        ("rollback", "Ask for the rollback again"),
    ],
)
def test_after_a_death_only_a_deployment_is_said_to_be_tried_again(tmp_path, kind, told):
    journal = Journal.begin(tmp_path, asked_for(kind=kind), CLOCK)
    journal.append("deploy", "halt", "intent")
    causes = []
    recovery.finish(journal, lambda _: SimpleNamespace(go_back=causes.append))
    [cause] = causes
    assert isinstance(cause, DiedError)
    assert told in cause.remedy
