"""What is cancelled before it ran, on a real Redis and a real repository."""

import subprocess

import pytest

from tests.deployments import asked_for
from worker import configfile
from worker.adapters.git import Checkout
from worker.cancels import Cancel, Cancels
from worker.clock import SystemClock
from worker.decisions import Decisions
from worker.deployment import new_id
from worker.journal import Journal
from worker.ledger import Ledger
from worker.state import State
from worker.waiting import Waiting

TOML = """
[server]
state_dir = "{home}/state"
[apps.shop]
repository = "acme/shop"
checkout = "{home}/shop"
clone_url = "{home}/origin"
webhook_secret_file = "{home}/secret"
"""
CLOCK = SystemClock()
NEW = "c" * 40  # pushed, and not fetched yet


class Shop:
    """An app whose branch has two commits; the second was fetched."""

    def __init__(self, home, redis):
        config = home / "sheetanchor.toml"
        config.write_text(TOML.format(home=home))
        loaded = configfile.load(config)
        app = loaded.apps["shop"]
        self.origin, self.ledger = home / "origin", Ledger(redis)
        self.state = State.of(loaded, app)
        self.waiting = Waiting(app, self.state, self.ledger, CLOCK)
        self.git("init", "--quiet", "-b", "main", str(self.origin), cwd=home)
        self.one, self.two = self.commit(), self.commit()
        checkout = Checkout(app.checkout, app.branch, app.clone_url)
        checkout.clone()
        checkout.fetch()

    def git(self, *argv, cwd=None):
        who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
        argv = ["git", *who, *argv]
        return subprocess.check_output(argv, cwd=cwd or self.origin, text=True).strip()

    def commit(self):
        self.git("commit", "--quiet", "--allow-empty", "-m", "change")
        return self.git("rev-parse", "HEAD")

    def queue(self, trigger="push", kind="deploy", revision=None, pull=True):
        now = CLOCK.now()
        one = asked_for(
            id=new_id(now),
            kind=kind,
            trigger=trigger,
            requested_revision=revision,
            options={"force": False, "pull": pull},
        )
        self.ledger.accept(one, guid=None)
        return one

    def cancel(self, one):
        wish = Cancel(one, by="bob", at="2026-11-22T14:31:00.000Z", reason="wrong branch")
        Cancels(self.state.cancels).ask(wish)

    @property
    def head(self):
        return Decisions(self.state.decisions).read()["head"]


@pytest.fixture
def shop(tmp_path, redis):
    return Shop(tmp_path, redis)


def test_queued_one_that_was_cancelled_ends_on_disk_and_for_all_to_see(shop):
    cancelled, other = shop.queue(revision=NEW), shop.queue("api", "rollback")
    shop.cancel(cancelled)
    assert shop.waiting.any()

    assert shop.waiting.next() == other

    records = Journal(shop.state.journals / f"{cancelled.id}.jsonl", CLOCK).records()
    assert [record["event"] for record in records] == ["done", "end"]
    shown = shop.ledger.get(cancelled.id)
    assert (shown["status"], shown["steps"]) == ("cancelled", [])
    assert "bob cancelled it" in shown["error"]["message"]
    assert (shop.head["decision"], shop.head["revision"]) == ("cancelled", NEW)
    assert "wrong branch" in shop.head["reason"]
    assert shop.head["deployment"] == cancelled.id
    assert shop.waiting.queued() == [other]


def test_cancelled_one_ends_also_when_redis_has_lost_it(shop, redis):
    cancelled = shop.queue(revision=NEW)
    shop.cancel(cancelled)
    redis.flushall()
    assert shop.waiting.any()

    assert shop.waiting.next() is None

    assert shop.head["revision"] == NEW
    assert Journal(shop.state.journals / f"{cancelled.id}.jsonl", CLOCK).ended()
    assert not shop.waiting.any()


@pytest.mark.parametrize(
    ("asked", "decided"),
    [
        ({"revision": "two"}, "two"),
        ({}, "two"),  # a look at the branch
        ({"revision": "one"}, None),  # replayed: the head is another
        ({"trigger": "api"}, "two"),
        ({"trigger": "api", "revision": "two"}, "two"),
        ({"trigger": "api", "revision": NEW}, None),  # of any branch
        ({"trigger": "api", "pull": False}, None),
        ({"trigger": "api", "kind": "rollback"}, None),
    ],
    ids=str,
)
def test_only_the_branchs_head_is_decided(shop, asked, decided):
    revision = asked.get("revision")
    cancelled = shop.queue(**(asked | {"revision": getattr(shop, revision or "", revision)}))
    shop.cancel(cancelled)

    assert shop.waiting.next() is None

    assert (shop.head or {}).get("revision") == (getattr(shop, decided) if decided else None)


def test_branch_that_went_back_is_decided_where_it_is(shop):
    shop.git("reset", "--quiet", "--soft", shop.one)
    shop.cancel(shop.queue(revision=shop.one))

    assert shop.waiting.next() is None

    assert shop.head["revision"] == shop.one


def test_cancelled_look_decides_no_head_that_a_push_announced(shop):
    look, push = shop.queue("reconcile"), shop.queue(revision=NEW)
    shop.cancel(look)

    assert shop.waiting.next() == push

    assert shop.head is None


def test_files_of_what_ended_long_ago_are_swept(shop, monkeypatch):
    cancelled, waits = shop.queue(revision=NEW), shop.queue("api")
    shop.cancel(cancelled)
    shop.waiting.next()
    shop.waiting.next()
    there = Cancels(shop.state.cancels)
    there.close(waits.id, "now")
    assert there.of(cancelled.id)  # who looked a moment ago must still find it

    monkeypatch.setattr("worker.waiting.SWEPT_AFTER", -1.0)
    shop.waiting.next()

    assert [path.stem for path in there.folder.iterdir()] == [waits.id]
