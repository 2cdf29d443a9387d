"""What people hear: from journals and records on disk, through Apprise, to a local server."""

import json
import logging
import shutil

import pytest

from tests.clocks import FakeClock
from tests.deployments import asked_for
from tests.listener import Listener
from worker import configfile
from worker.backups import drilled, undone
from worker.journal import Journal
from worker.ledger import Ledger
from worker.notify import noticing
from worker.notify.noticing import Noticing
from worker.notify.outbox import TRIES, Outbox
from worker.outgoing import Outgoing
from worker.schedule import BACKUP, Schedule
from worker.sightings import Sightings
from worker.state import State

TOML = """
[server]
state_dir = "{home}/state"
public_url = "https://deploy.example.org"
[notify]
urls = ["env:CHAT"]
{more}
[apps.shop]
repository = "acme/shop"
checkout = "{home}/shop"
webhook_secret_file = "{home}/secret"
env_file = ".env"
[apps.shop.backup]
schedule = "0 2 * * *"
offsite = ["rsync:/mnt/usb"]
"""
A, B = "a" * 40, "b" * 40
CANARY = "canary-of-the-env-file"
ERROR = {"step": "health", "message": f"<!here> @all: 3 tries, {CANARY}", "remedy": "Look."}


@pytest.fixture
def chat():
    made = Listener()
    yield made
    made.close()


class Shop:
    """An app of which people hear."""

    def __init__(self, home, redis, chat, more=""):
        self.home, self.clock, self.number = home, FakeClock(), 0
        (home / "shop").mkdir(exist_ok=True)
        (home / "shop" / ".env").write_text(f"PASSWORD={CANARY}\n")
        path = home / "sheetanchor.toml"
        path.write_text(TOML.format(home=home, more=more))
        self.config = configfile.load(path)
        self.app = self.config.apps["shop"]
        self.state = State.of(self.config, self.app)
        self.ledger = Ledger(redis)
        self.outbox = Outbox(self.state.notices, self.clock)
        self.look()  # from now on

    def look(self):
        """Look as a worker does that was just started."""
        sightings = Sightings(self.app, self.state, self.ledger, self.clock)
        made = Noticing(self.config, self.app, sightings, self.clock)
        made.notice()
        made.send()

    def ends(self, status, revision=A, **facts):
        """End one more deployment, a second after the last one."""
        self.number += 1
        self.clock.sleep(1)
        name = f"20261122t1430{self.number:02}-3f9a1c"
        asked = asked_for(id=name, requested_revision=revision)
        journal = Journal.begin(self.state.journals, asked, self.clock)
        journal.append("deploy", "preflight", "intent", {"revision": revision})
        journal.append("after", "end", "end", {"status": status, **facts})
        return name


@pytest.fixture
def shop(tmp_path, redis, chat, monkeypatch):
    monkeypatch.setenv("CHAT", chat.url)
    monkeypatch.setenv("SHEETANCHOR_CONFIG", str(tmp_path / "sheetanchor.toml"))
    return Shop(tmp_path, redis, chat)


def test_failure_is_told_once_with_what_to_do_until_it_changes_or_clears(shop, chat):
    first = shop.ends("rolled_back", error=ERROR)
    shop.look()
    [heard] = chat.heard
    assert heard["title"] == f"shop: deploy of {A[:12]} rolled back: the old version is back"
    assert heard["message"].splitlines() == [
        "It failed in health: [!here] @\u200ball: 3 tries, [redacted]",
        "What to do: Look.",
        f"https://deploy.example.org/api/v1/deployments/{first}/log",
    ]
    assert heard["type"] == "failure"

    shop.ends("rolled_back", error=ERROR | {"message": ERROR["message"].replace("3", "17")})
    shop.ends("skipped")
    shop.look()
    assert len(chat.heard) == 1, "the same is no news, also after a restart"
    shop.ends("failed", error=ERROR | {"step": "build"})
    shop.ends("inconsistent", B, error=ERROR)
    for _ in range(2):
        shop.look()
    assert chat.titles[1:] == [
        f"shop: deploy of {A[:12]} failed, and users saw nothing of it",
        f"shop: deploy of {B[:12]} INCONSISTENT: a person is needed",
    ]
    shop.ends("succeeded", B)
    shop.ends("succeeded", A)
    shop.look()
    assert chat.titles[3:] == ["shop: deploying works again"], "nobody wants each success"
    shop.ends("rolled_back", error=ERROR)
    shop.look()
    assert len(chat.heard) == 5
    assert CANARY not in json.dumps(chat.heard) + shop.state.notices.read_text()


def test_success_is_told_if_wanted_and_only_what_is_wanted(tmp_path, redis, chat, shop):
    shop = Shop(tmp_path, redis, chat, 'on = ["succeeded"]')
    shop.ends("succeeded", outage_seconds=1.25)
    shop.ends("failed", error=ERROR)
    shop.look()
    assert chat.titles == [f"shop: deploy of {A[:12]} succeeded"]
    assert chat.heard[0]["message"].startswith("It took 0 s, 1.2 s of them without service.")


def test_backup_drill_copy_and_request_that_fail_are_told_and_that_they_work_again(shop, chat):
    schedule = Schedule.of(shop.app, shop.state, shop.clock)
    schedule.settle()
    schedule.failed(BACKUP, "MongoDB was away for 3 s.", "Start it.", again=True)
    drilled.failed(shop.state.drill, None, "It differs.", "Look.", "now")
    outgoing = Outgoing.of(shop.app, shop.state, shop.clock)
    outgoing.failed("rsync:/mnt/usb", "20261122_020000", "It is full.", "Free some.")
    asked = {"verb": "verify", "backup": None, "at": "now", "by": "ann"}
    undone.noted(shop.state.undone, asked | {"why": "It died.", "remedy": "Ask again."})
    for _ in range(4):
        shop.look()
    assert chat.titles == [
        "shop: backup FAILED",
        "shop: drill FAILED",
        "shop: verify FAILED",
        "shop: copy to rsync:/mnt/usb FAILED",
    ]
    assert chat.heard[0]["message"] == "MongoDB was away for 3 s.\nWhat to do: Start it."
    schedule.failed(BACKUP, "MongoDB was away for 4 s.", "Start it.", again=True)
    shop.look()
    assert len(chat.heard) == 4
    schedule.succeeded(BACKUP)
    outgoing.sent("rsync:/mnt/usb", "20261122_020000")
    shop.look()
    shop.look()
    assert chat.titles[4:] == [
        "shop: the backup works again",
        "shop: copying to rsync:/mnt/usb works again",
    ]


def test_full_disk_is_told_once_and_that_it_has_room_only_when_it_has_enough(
    shop, chat, monkeypatch
):
    total = 100 << 30
    for free in (4 << 30, 3 << 30, 5 << 30, 7 << 30):
        usage = shutil._ntuple_diskusage(total, total - free, free)
        monkeypatch.setattr(noticing.disk.shutil, "disk_usage", lambda _, usage=usage: usage)
        shop.look()
        if free == 5 << 30:
            assert len(chat.heard) == 1, "just above the limit is not enough"
    assert [title.rpartition(" ")[2] for title in chat.titles] == ["LOW", "again"]
    assert "4096 of 102400 MiB are free" in chat.heard[0]["message"]


def test_target_that_fails_is_tried_a_few_times_in_order_and_shown(shop, chat, caplog):
    caplog.set_level(logging.DEBUG)
    chat.status = 500
    shop.ends("failed", error=ERROR)
    shop.look()
    shop.ends("inconsistent", error=ERROR)
    shop.look()
    failed = shop.outbox.view()["failed"]["env:CHAT"]
    assert failed["why"] == "env:CHAT did not take a message: it answered 500."
    assert shop.outbox.view()["waiting"] == 2
    chat.status = 200
    shop.clock.sleep(61)
    shop.look()
    shop.look()
    assert [title.split()[3] for title in chat.titles] == [f"{A[:12]}"] * 2
    assert ["INCONSISTENT" in title for title in chat.titles] == [False, True]
    assert shop.outbox.view() == {"failed": {}, "waiting": 0}
    assert "canary" not in caplog.text + shop.state.notices.read_text()


def test_message_that_nobody_takes_is_given_up_and_the_next_one_goes(shop, chat, monkeypatch):
    monkeypatch.setattr(noticing, "WITHIN", 0.01)  # as long as a plugin that hangs
    shop.ends("failed", error=ERROR)
    for _ in range(TRIES):
        shop.look()
        shop.clock.sleep(3_600)
    assert shop.outbox.view()["waiting"] == 0
    shown = shop.outbox.view()["failed"]["env:CHAT"]
    assert shown["given_up"]
    assert "within 0.01 s" in shown["why"]
    monkeypatch.undo()


def test_target_that_is_not_set_or_unknown_is_named_without_its_secret(shop, monkeypatch):
    for address, why in (("", "env:CHAT holds no address"), ("nix://canary-x", "none that")):
        monkeypatch.setenv("CHAT", address)
        shop.ends("failed", A if address else B, error=ERROR)
        shop.clock.sleep(3_600)
        shop.look()
        assert why in shop.outbox.view()["failed"]["env:CHAT"]["why"]
    assert "canary-x" not in shop.state.notices.read_text()


def test_target_that_is_taken_out_of_the_configuration_holds_nothing(shop, chat):
    chat.status = 500
    shop.ends("failed", error=ERROR)
    shop.look()
    notify = shop.config.notify.model_copy(update={"urls": ()})
    shop.config = shop.config.model_copy(update={"notify": notify})
    shop.look()
    assert shop.outbox.view() == {"failed": {}, "waiting": 0}


@pytest.mark.parametrize("text", ["{", "[]", '{"since": 1}'])
def test_damaged_file_is_set_aside_and_it_goes_on_from_now(shop, chat, text):
    shop.ends("failed", error=ERROR)
    shop.clock.sleep(1)
    shop.state.notices.write_text(text)
    shop.look()
    shop.ends("rolled_back", error=ERROR)
    shop.look()
    assert ["rolled back" in title for title in chat.titles] == [True]
