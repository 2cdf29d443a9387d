"""Looks at a real remote, with a real Redis; what a deployment would do is scripted."""

import contextlib
import json
import subprocess
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.clocks import FakeClock
from worker import configfile, lock, recovery
from worker.adapters.git import Checkout
from worker.deployment import Status, view
from worker.errors import BusyError, UnavailableError
from worker.jobs import Runner
from worker.journal import Journal
from worker.ledger import Ledger, connect
from worker.reconcile import BUSY, NOT_REACHED, look, wanted
from worker.requests import FREEZE, Request, Requests
from worker.rounds import Rounds

WHO = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
CONFIG = """
[server]
state_dir = "{home}/state"
[apps.shop]
repository = "acme/shop"
checkout = "{home}/shop"
clone_url = "{home}/origin.git"
webhook_secret_file = "{home}/secret"
"""


class Scripted(Runner):
    """Ends each deployment as the test says, and remembers it."""

    ran = ()
    ends = "failed"

    def run(self, deployment):
        self.ran = (*self.ran, deployment)
        head, now = deployment.requested_revision, self.clock.now()
        if self.ends in ("died", "surroundings"):
            died = self.ends == "died"
            if not self.decisions.postpone(head, deployment.id, now, "away", died=died):
                self.decisions.decide(head, "failed", deployment.id, now.isoformat(), "died")
        else:
            self.decisions.decide(head, self.ends, deployment.id, now.isoformat(), None)
        with contextlib.suppress(UnavailableError):
            self.ledger.publish({**view(deployment), "status": "failed"})
        return Status.FAILED


@pytest.fixture
def runner(tmp_path, redis):
    git(tmp_path, "init", "--quiet", "--bare", "-b", "main", "origin.git")
    git(tmp_path, "clone", "--quiet", "origin.git", "shop")
    (tmp_path / "secret").write_text("")
    path = tmp_path / "sheetanchor.toml"
    path.write_text(CONFIG.format(home=tmp_path))
    config = configfile.load(path)
    return Scripted(config, config.apps["shop"], Ledger(redis), clock=FakeClock())


def git(folder, *argv):
    done = subprocess.run(
        ["git", *WHO, *argv], cwd=folder, check=True, text=True, capture_output=True
    )
    return done.stdout.strip()


def push(runner):
    """Push a commit of which nobody is told; return it."""
    checkout = runner.app.checkout
    git(checkout, "commit", "--quiet", "--allow-empty", "-m", "change")
    git(checkout, "push", "--quiet", "--force", "origin", "HEAD:refs/heads/main")
    return git(checkout, "rev-parse", "HEAD")


def remote(runner):
    app = runner.app
    return Checkout(app.checkout, app.branch, app.clone_url).ask_head


def simulate(runner, days, step=timedelta(hours=1)):
    """Let the worker's rounds go on for so many days; return the minutes at which it deployed."""
    rounds, head, found = Rounds(720, runner.clock), remote(runner)(), []
    for _ in range(timedelta(days=days) // step):
        if rounds.due(runner.decisions.read()):
            before = len(runner.ran)
            rounds.looked(well=look(runner, lambda: head) == 0)
            found += [runner.clock.monotonic() / 60] * (len(runner.ran) - before)
        runner.clock.passed += step
    return found


def test_head_that_nobody_told_of_is_deployed_once(runner):
    push(runner)
    decoy = "HEAD:refs/heads/a/refs/heads/main"  # what ls-remote's patterns match, too
    git(runner.app.checkout, "push", "--quiet", "origin", decoy)
    head = push(runner)

    assert [look(runner, remote(runner)) for _ in range(3)] == [0, 0, 0]

    (one,) = runner.ran
    assert (one.kind, one.trigger, one.by) == ("deploy", "reconcile", None)
    assert one.requested_revision == head
    assert runner.ledger.history("shop", 10)[0][0]["trigger"] == "reconcile"


def test_head_is_deployed_while_redis_is_down(runner, own_redis):
    runner.ledger = Ledger(connect(own_redis.url, for_web=True))
    own_redis.stop()
    push(runner)

    look(runner, remote(runner))

    assert len(runner.ran) == 1


def test_head_without_a_ci_run_waits_in_the_queue_and_is_not_run_without_one(runner, own_redis):
    gate = runner.app.gate.model_copy(update={"require_ci": True})
    runner.app = runner.app.model_copy(update={"gate": gate})
    push(runner)
    look(runner, remote(runner))
    look(runner, remote(runner))
    [waits] = runner.ledger.queued("shop")
    assert "It waits for a successful CI run" in runner.ledger.get(waits.id)["reason"]
    runner.ledger = Ledger(connect(own_redis.url, for_web=True))
    own_redis.stop()
    look(runner, remote(runner))
    assert runner.ran == ()


@pytest.fixture
def in_the_last_moment(runner, own_redis, monkeypatch):
    """Have something happen after all was worked off, before the lock is held to judge the head.

    Redis is away, so that a look deploys by itself. Returns what was left half-done then.
    """
    runner.ledger = Ledger(connect(own_redis.url, for_web=True))
    own_redis.stop()
    push(runner)

    def look_while(happens):
        half_done, todo, work_off, run = [], [happens], runner.work_off, runner.run

        def then_run(one):
            half_done.extend(recovery.open_journals(runner.state, runner.clock))
            return run(one)

        monkeypatch.setattr(runner, "work_off", lambda: todo.pop()() if todo else work_off())
        monkeypatch.setattr(runner, "run", then_run)
        look(runner, remote(runner))
        return half_done

    return look_while


def test_who_died_in_the_last_moment_is_recovered_first(runner, in_the_last_moment):
    left = wanted(runner, remote(runner)())

    half_done = in_the_last_moment(
        lambda: Journal.begin(runner.state.journals, left, runner.clock),
    )

    assert (len(runner.ran), half_done) == (1, [])


def test_freeze_asked_for_in_the_last_moment_holds(runner, in_the_last_moment):
    asked = Request(id="1", verb=FREEZE, by="ann", at="2026-11-22T00:00:00Z")

    in_the_last_moment(lambda: Requests(runner.state.requests).leave(asked))

    assert runner.ran == ()
    assert runner.decisions.read()["hold"]["kind"] == "frozen"


def test_nothing_is_deployed_while_somebody_works_on_the_app(runner):
    push(runner)
    with lock.held(runner.state.lock, "shop"):
        assert look(runner, remote(runner)) == BUSY
    assert runner.ran == ()
    assert runner.ledger.queued("shop") == []


def test_remote_that_is_down_is_reported_once_and_once_when_it_is_back(runner, caplog):
    caplog.set_level("INFO", "worker.reconcile")
    origin, away = runner.app.checkout.parent / "origin.git", runner.app.checkout.parent / "away"
    push(runner)
    origin.rename(away)

    assert [look(runner, remote(runner)) for _ in range(3)] == [NOT_REACHED] * 3
    note = json.loads(runner.state.remote.read_text())
    assert str(origin) in note["why"]
    assert runner.ledger.app("shop")["remote"] == note
    away.rename(origin)
    assert [look(runner, remote(runner)) for _ in range(2)] == [0, 0]

    told = ("remote.lost", "remote.found")
    reported = [one.message for one in caplog.records if one.message in told]
    assert reported == list(told)
    assert not runner.state.remote.exists()
    assert runner.ledger.app("shop")["remote"] is None


def test_branch_that_the_remote_does_not_have_is_named(runner):
    assert look(runner, remote(runner)) == NOT_REACHED
    assert "has no branch main" in json.loads(runner.state.remote.read_text())["why"]


@pytest.mark.parametrize("decision", ["skipped", "cancelled", "failed", "rolled_back"])
def test_decided_head_is_not_deployed_in_30_days_and_a_newer_one_is(runner, decision):
    push(runner)
    runner.ends = decision
    assert len(simulate(runner, 30)) == 1

    push(runner)

    assert len(simulate(runner, 1)) == 1


@pytest.mark.parametrize("kind", ["rolled_back", "pinned", "stopped", "frozen", "inconsistent"])
def test_held_head_is_not_deployed_in_30_days(runner, kind):
    head = push(runner)
    known = None if kind in ("frozen", "inconsistent") else head
    runner.decisions.hold(kind, by="ann", at="now", reason="because", head=known)

    assert simulate(runner, 30) == []


def test_app_that_was_stopped_before_its_head_was_known_stays_so_until_a_newer_one(runner):
    push(runner)
    runner.decisions.hold("stopped", by="ann", at="now", reason="for the night", head=None)
    assert simulate(runner, 30) == []

    push(runner)

    assert len(simulate(runner, 1)) == 1


def test_return_to_what_was_deployed_last_is_judged_once_and_to_what_failed_is_tried(runner):
    """Whether it still runs only a deployment can tell: a person may have run another since."""
    good, bad = push(runner), push(runner)
    runner.ends = "rolled_back"
    assert len(simulate(runner, 1)) == 1
    runner.decisions.write(running={"revision": good, "release": "d0"})
    git(runner.app.checkout, "push", "--quiet", "--force", "origin", f"{good}:main")
    runner.ends = "skipped"
    assert len(simulate(runner, 30)) == 1

    git(runner.app.checkout, "push", "--quiet", "--force", "origin", f"{bad}:main")

    assert len(simulate(runner, 1)) == 1


def test_head_is_tried_again_with_growing_pauses_while_the_surroundings_fail(runner):
    push(runner)
    runner.ends = "surroundings"

    tried = simulate(runner, 0.5, step=timedelta(minutes=1))

    minutes = [later - before for before, later in pairwise(tried)]
    assert minutes[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert set(minutes[8:]) == {60}
    assert runner.ran[-1].reason == f"tried again after {runner.ran[-2].id}: away"


def test_head_that_kills_its_deployments_is_decided_after_three_more_tries(runner):
    head = push(runner)
    runner.ends = "died"

    assert len(simulate(runner, 30)) == 4

    decided = runner.decisions.read()["head"]
    assert (decided["revision"], decided["decision"]) == (head, "failed")


def test_pause_survives_a_restart_and_a_newer_head_does_not_wait(runner):
    push(runner)
    runner.ends = "surroundings"
    look(runner, remote(runner))
    look(runner, remote(runner))  # a worker's start
    assert len(runner.ran) == 1

    push(runner)
    look(runner, remote(runner))

    assert len(runner.ran) == 2
    assert runner.decisions.read()["put_off"]["failures"] == 1


def test_push_that_is_queued_is_enough(runner):
    push(runner)
    look(runner, remote(runner))
    (one,) = runner.ran
    head = push(runner)
    queued = replace(one, id="20261122t100000-aaaaaa", trigger="push", requested_revision=head)
    runner.ledger.accept(queued, guid=None)
    with runner.locked():
        assert wanted(runner, head) is None

    look(runner, remote(runner))

    assert [deployment.trigger for deployment in runner.ran] == ["reconcile", "push"]


def test_lock_that_is_free_in_a_moment_is_waited_for(runner):
    with contextlib.ExitStack() as another:
        another.enter_context(runner.locked())
        runner.clock.sleep = lambda seconds: another.close()

        with runner.locked(patience=1):
            assert not lock.is_free(runner.state.lock)


def test_nobody_waits_for_a_deployment_that_runs(runner):
    push(runner)
    look(runner, remote(runner))
    (one,) = runner.ran
    with runner.locked():
        Journal.begin(runner.state.journals, one, runner.clock)
        runner.clock.sleep = pytest.fail

        with pytest.raises(BusyError), runner.locked(patience=30):
            pass


def test_lock_that_stays_held_is_given_up_once_patience_ends(runner):
    with runner.locked(), pytest.raises(BusyError), runner.locked(patience=1):
        pass
