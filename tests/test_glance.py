"""A first look at a real remote: what it may pass over, and what it must leave to a whole look."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest

from tests.forks import TOP
from tests.test_reconcile import CONFIG, git
from worker import configfile, lock
from worker.clock import SystemClock
from worker.decisions import Decisions
from worker.glance import glance
from worker.rounds import BUSY, NOT_REACHED
from worker.state import State


class Looked:
    """One app whose head nobody told of; what a glance at it says."""

    def __init__(self, home):
        self.home, self.clock = home, SystemClock()
        git(home, "init", "--quiet", "--bare", "-b", "main", "origin.git")
        git(home, "clone", "--quiet", "origin.git", "shop")
        git(home / "shop", "commit", "--quiet", "--allow-empty", "-m", "change")
        git(home / "shop", "push", "--quiet", "origin", "HEAD:refs/heads/main")
        self.head = git(home / "shop", "rev-parse", "HEAD")
        (home / "secret").write_text("")
        self.path = home / "sheetanchor.toml"
        self.path.write_text(CONFIG.format(home=home))
        config = configfile.load(self.path)
        self.app = config.apps["shop"]
        self.state = State.of(config, self.app)
        self.decisions = Decisions(self.state.decisions)

    def __call__(self):
        return glance(self.app, self.state, self.clock.now())

    def decide(self):
        self.decisions.decide(self.head, "failed", "d1", "then", "it is ill")

    def postpone(self, head):
        self.decisions.postpone(head, "d1", self.clock.now(), "down", died=False)

    def hold(self, kind, head):
        self.decisions.hold(kind, by="ann", at="then", reason="because", head=head)


@pytest.fixture
def look(tmp_path):
    return Looked(tmp_path)


def test_head_without_a_decision_needs_a_whole_look(look):
    assert look() is None


def test_decided_head_needs_none(look):
    look.decide()
    assert look() == 0


@pytest.mark.parametrize("any_head", [True, False])
def test_head_that_is_put_off_needs_none_until_its_time(look, any_head):
    look.postpone(None if any_head else look.head)
    assert look() == 0

    look.clock = Later()

    assert look() is None


class Later:
    def now(self):
        return SystemClock().now() + timedelta(minutes=2)


def test_newer_head_than_the_one_that_is_put_off_needs_a_whole_look(look):
    look.postpone("a" * 40)
    assert look() is None


def test_decided_head_that_is_put_off_still_is_noted(look):
    look.decide()
    look.postpone(look.head)
    assert look() is None


@pytest.mark.parametrize("kind", ["frozen", "inconsistent"])
def test_app_that_a_person_holds_needs_none(look, kind):
    look.hold(kind, head=None)
    assert look() == 0


def test_hold_whose_head_was_unknown_is_noted_to_be_about_this_one(look):
    look.hold("stopped", head=None)
    assert look() is None

    look.hold("stopped", head=look.head)

    assert look() == 0


def test_app_that_is_worked_on_is_looked_at_again(look):
    look.decide()
    with lock.held(look.state.lock, "shop"):
        assert look() == BUSY


def test_lost_remote_is_told_of_once_and_so_is_its_return(look):
    look.decide()
    origin = look.home / "origin.git"
    origin.rename(look.home / "away")
    assert look() is None

    look.state.remote.write_text("{}")
    assert look() == NOT_REACHED

    (look.home / "away").rename(origin)
    assert look() is None


def test_glance_imports_no_client_and_becomes_a_whole_look_where_one_is_needed(look):
    code = (
        "import sys, worker.glance as g\n"
        "print([one for one in ('docker', 'pymongo', 'redis', 'rq') if one in sys.modules])\n"
        "sys.stdout.flush()\n"
        "g.os.execv = lambda _, argv: print(argv[1:])\n"
        "sys.exit(g.main())"
    )
    env = {**os.environ, "SHEETANCHOR_CONFIG": str(look.path)}

    def said():
        argv = [sys.executable, "-c", code, "shop"]
        done = subprocess.run(argv, cwd=TOP, env=env, text=True, capture_output=True, check=True)
        return done.stdout.splitlines()

    assert said() == ["[]", "['-m', 'worker.reconcile', 'shop']"]
    look.decide()
    assert said() == ["[]"]
