"""freeze, unfreeze and resume: at once, or left for whoever holds the app."""

import re

import pytest

from tests.deployments import asked_for
from worker import configfile
from worker.clock import SystemClock
from worker.decisions import Decisions
from worker.journal import Journal
from worker.requests import Requests
from worker.state import State

OWED = "20261122_143000"


@pytest.fixture
def state(cli):
    config = configfile.load(cli.config)
    return State.of(config, config.apps[cli.app])


@pytest.fixture
def busy(state, held_lock):
    """A deployment runs, which nobody waits for."""
    state.journals.mkdir(parents=True, exist_ok=True)
    Journal.begin(state.journals, asked_for(), SystemClock())


def inconsistent(state, **more):
    at = {"by": None, "at": "then", "reason": "mongod was gone", "head": None}
    Decisions(state.decisions).hold("inconsistent", **at, **more)


def asked(state):
    return [(one.verb, one.by, one.reason) for one in Requests(state.requests).all()]


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("verb", ["freeze", "unfreeze", "resume"])
def test_order_about_a_busy_app_is_left_in_the_persons_name(cli, state, verb):
    ran = cli(verb, cli.app, "--reason", "exams", SUDO_USER="ann")

    assert asked(state) == [(verb, "ann", "exams")]
    assert f"{verb} will be done when the running deployment has ended" in ran.out
    assert re.search(f"asked for +{verb} by ann", cli("status", cli.app).out)


@pytest.mark.usefixtures("busy")
def test_order_that_would_be_refused_is_refused_for_a_busy_app_too(cli, state):
    inconsistent(state, restore=OWED)

    frozen = cli("freeze", cli.app, code=4)
    resumed = cli("resume", cli.app, code=2)

    assert f"`sheetanchor resume {cli.app}`" in frozen.err
    assert f"`sheetanchor restore {cli.app} {OWED}`" in resumed.err
    assert asked(state) == []


def test_resume_over_data_that_was_not_put_back_needs_a_reason(cli, state):
    inconsistent(state, restore=OWED)

    refused = cli("resume", cli.app, code=2)
    assert f"backup {OWED} was not put back" in refused.err
    assert Decisions(state.decisions).read()["hold"]["restore"] == OWED
    cli("resume", cli.app, "--reason", "looked at it", SUDO_USER="ann")

    found = Decisions(state.decisions).read()
    assert (found["hold"], found["ended"]["reason"]) == (None, "looked at it")


def test_app_that_was_renamed_in_the_middle_is_told_of(cli, state):
    journal = Journal.begin(state.journals, asked_for(app=cli.app), SystemClock())
    journal.append("deploy", "switch", "intent")
    old = cli.app
    cli.configure(app="renamed")

    told = cli("status").err

    assert f"The app {old} is not in sheetanchor.toml any more" in told
    assert f"Name it [apps.{old}] again" in told
