"""What has to go out after each good backup: pure, but for its file."""

import json

import pytest

from tests.clocks import FakeClock
from worker import heartbeat, targets
from worker.errors import ConfigError
from worker.outgoing import PING, PINGS, Outgoing

FIRST, SECOND = "20261122_020000", "20261123_020000"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def outgoing(tmp_path, clock):
    return Outgoing(tmp_path / "outgoing.json", ("rsync:/usb", PING), clock)


def test_the_newest_backup_is_due_until_it_is_there(outgoing):
    assert outgoing.due(None) == []
    assert outgoing.due(FIRST) == ["rsync:/usb", PING]
    outgoing.begin("rsync:/usb")
    outgoing.sent("rsync:/usb", FIRST)
    assert outgoing.due(FIRST) == [PING]
    assert outgoing.due(SECOND) == ["rsync:/usb", PING]


def test_what_failed_or_died_is_tried_again_after_pauses_that_grow(outgoing, clock):
    for minutes in (1, 2, 4):
        outgoing.begin("rsync:/usb")  # and if it dies now, the file says so already
        assert outgoing.due(FIRST) == [PING]
        outgoing.failed("rsync:/usb", FIRST, "It is away.", "Mount it.")
        clock.sleep(minutes * 60 - 1)
        assert outgoing.due(SECOND) == [PING], "not for a newer backup either"
        clock.sleep(1)
        assert outgoing.due(FIRST) == ["rsync:/usb", PING]
    shown, _ = outgoing.view()
    assert (shown["at"], shown["failed"]["why"]) == (None, "It is away.")
    outgoing.begin("rsync:/usb")
    outgoing.sent("rsync:/usb", SECOND)
    assert outgoing.view()[0] == {
        "target": "rsync:/usb",
        "backup": SECOND,
        "at": "2026-11-22T00:07:00.000Z",
        "failed": None,
        "retry_at": None,
    }


def test_what_was_stopped_is_as_if_it_had_not_begun(outgoing):
    before = outgoing.begin("rsync:/usb")
    outgoing.put_back("rsync:/usb", before)
    assert outgoing.due(FIRST) == ["rsync:/usb", PING]


def test_clock_that_was_set_back_holds_nothing_up(outgoing, clock):
    outgoing.begin("rsync:/usb")
    clock.sleep(-365 * 86_400)
    assert outgoing.due(FIRST) == ["rsync:/usb", PING]


def test_a_ping_is_given_up_after_a_few_tries_until_the_next_backup(outgoing, clock):
    for _ in range(PINGS):
        assert PING in outgoing.due(FIRST)
        outgoing.begin(PING)
        outgoing.failed(PING, FIRST, "It did not answer.", "Look.")
        clock.sleep(3_600)
    assert PING not in outgoing.due(FIRST)
    assert outgoing.view()[1]["failed"]["why"] == "It did not answer."
    assert PING in outgoing.due(SECOND)


@pytest.mark.parametrize("text", ["{", "[]", '{"ping": {}}', '{"ping": 1}'])
def test_damaged_file_is_set_aside_and_all_is_due(outgoing, text):
    outgoing.path.write_text(text)
    assert outgoing.due(FIRST) == ["rsync:/usb", PING]
    outgoing.sent(PING, FIRST)
    assert json.loads(outgoing.path.read_text())[PING]["backup"] == FIRST


@pytest.mark.parametrize(
    ("text", "host", "address"),
    [
        ("rclone:gdrive:thynk/x", "gdrive", "gdrive:thynk/x/ID"),
        ("rclone:gdrive:", "gdrive", "gdrive:ID"),
        ("rclone::local:/mnt/usb", ":local", ":local:/mnt/usb/ID"),
        ("rsync:ann@backup-1.example.org:/srv/b/", "ann@backup-1.example.org", None),
        ("rsync:box:backups", "box", "box:backups/ID"),
        ("rsync:/mnt/a disk", None, "/mnt/a disk/ID"),
    ],
)
def test_target_is_read_as_it_was_meant(text, host, address):
    found = targets.parse(text)
    assert found.host == host
    assert found.at("ID") == (address or "ann@backup-1.example.org:/srv/b/ID")


@pytest.mark.parametrize(
    "text",
    [
        "gdrive:x",
        "rclone:gdrive",
        "rclone:-x:y",
        "rclone:a:../up",
        "rsync:mnt/usb",
        "rsync:host::module",
        "rsync:-oProxyCommand=x:/y",
        "rsync:host:/a b",
        "rsync:host:$(x)",
        "rsync:host:-x",
        "rsync:/a/../b",
        "rsync:/a\nb",
        "s3:x:y",
    ],
)
def test_what_is_no_target_is_refused(text):
    with pytest.raises(ValueError, match="should look like rclone:REMOTE:PATH"):
        targets.parse(text)


def test_ping_address_is_read_from_where_it_stands_and_its_secret_is_known(tmp_path, monkeypatch):
    secret = tmp_path / "ping"
    secret.write_text("https://ann:word@hc.example.org/ping/0b1c?x=1\n")
    with pytest.raises(ConfigError, match="can be read by others"):
        heartbeat.address(str(secret))
    secret.chmod(0o600)
    monkeypatch.setenv("PING", secret.read_text().strip())

    url = heartbeat.address(str(secret))
    assert url == heartbeat.address("env:PING") == heartbeat.address(url)
    assert heartbeat.public_part(url) == "https://hc.example.org"
    assert heartbeat.secret_parts(url) == ["ann:word", "ping/0b1c?x=1"]
    for nothing in ("env:NOT_SET", str(tmp_path / "none")):
        with pytest.raises(ConfigError, match=r"backup\.ping_url"):
            heartbeat.address(nothing)
