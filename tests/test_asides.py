"""What is kept aside in a real clone, and which of it goes."""

import subprocess

import pytest

from tests.clocks import FakeClock
from tests.deployments import asked_for
from worker import asides, configfile
from worker.adapters.git import Checkout
from worker.journal import Journal
from worker.state import State

TOML = """
[server]
state_dir = "{home}/state"
[apps.shop]
repository = "acme/shop"
checkout = "{home}/shop"
webhook_secret_file = "{home}/secret"
[apps.shop.backup]
keep_safety = 30
"""
WHO = ["-c", "user.name=t", "-c", "user.email=t@example.org"]


class Shop:
    def __init__(self, home):
        path = home / "sheetanchor.toml"
        path.write_text(TOML.format(home=home))
        config = configfile.load(path)
        self.app, self.clock = config.apps["shop"], FakeClock()
        self.state = State.of(config, self.app)
        self.git("init", "--quiet", "-b", "main", cwd=home, to=["shop"])
        self.file = self.app.checkout / "app.py"
        self.file.write_text("pushed")
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", "one")
        self.checkout = Checkout(self.app.checkout, "main")

    def git(self, *argv, cwd=None, to=()):
        argv = ["git", *WHO, *argv, *to]
        where = cwd or self.app.checkout
        return subprocess.run(argv, cwd=where, check=True, text=True, capture_output=True).stdout

    def deployed(self, identity, status="succeeded", *, edited=None, ends=True, **pulled):
        """Leave what a deployment leaves: its ref and its journal."""
        self.file.write_text(edited or "pushed")
        self.checkout.local_changes(identity, without=[])
        if pulled.get("branch_commits"):
            self.git("update-ref", f"refs/sheetanchor/{identity}-branch", "HEAD")
        self.file.write_text("pushed")
        asked = asked_for(id=identity)
        journal = Journal.begin(self.state.journals, asked, self.clock)
        journal.append("deploy", "pull", "done", pulled)
        if ends:
            journal.append("after", "end", "end", {"status": status})

    def left(self):
        return sorted(self.checkout.asides())

    def prune(self, *kept):
        return asides.prune(self.app, self.state, self.clock, kept)


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def test_refs_without_work_go_but_those_of_kept_releases_and_running_deployments(shop):
    for identity in ("d1", "d2", "d3"):
        shop.deployed(identity)
    shop.deployed("d4", ends=False)
    shop.git("update-ref", "refs/sheetanchor/remote/main", "HEAD")
    shop.git("update-ref", "refs/sheetanchor/stranger", "HEAD")  # no journal tells of it

    assert shop.prune("d3") == ["refs/sheetanchor/d1", "refs/sheetanchor/d2"]

    assert shop.left() == ["d3", "d4", "stranger"]
    assert shop.checkout.ref("refs/sheetanchor/remote/main")


def test_work_that_only_a_ref_holds_is_kept_for_ever_and_told(shop):
    shop.deployed("d1", edited="by hand")
    shop.deployed("d2", own_commits=["1234567 Mend it here"])
    shop.deployed("d3", branch_commits=["7654321 On the branch"])
    shop.clock.sleep(86400 * 400)

    assert shop.prune() == ["refs/sheetanchor/d3"]  # of that one only the branch's holds work

    assert shop.left() == ["d1", "d2", "d3-branch"]
    assert shop.git("show", "refs/sheetanchor/d1:app.py") == "by hand"
    told = {
        one.ref.rpartition("/")[2]: one.holds
        for one in asides.found(shop.app, shop.state, shop.clock)
    }
    assert told == {
        "d1": ("app.py",),
        "d2": ("1234567 Mend it here",),
        "d3-branch": ("7654321 On the branch",),
    }


@pytest.mark.parametrize("status", ["rolled_back", "failed", "cancelled"])
def test_work_that_a_way_back_brought_back_goes_after_keep_safety_days(shop, status):
    shop.deployed("d1", status, edited="by hand")
    shop.clock.sleep(86400 * 29)
    assert shop.prune() == []

    shop.clock.sleep(86400 * 2)

    assert shop.prune() == ["refs/sheetanchor/d1"]


def test_work_in_an_inconsistent_app_is_kept(shop):
    shop.deployed("d1", "inconsistent", edited="by hand")
    shop.clock.sleep(86400 * 400)

    assert shop.prune() == []
    assert [one.lost_without for one in asides.found(shop.app, shop.state, shop.clock)] == [True]


def test_app_without_a_checkout_has_nothing_aside(shop):
    (shop.app.checkout / ".git").rename(shop.app.checkout / "moved")

    assert shop.prune() == []
