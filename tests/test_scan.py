"""A worker's scan, on a disk of a MiB."""

import subprocess

import pytest

from tests.conftest import until
from tests.test_orders import TOML
from tests.test_reserve import fill
from worker import configfile
from worker.clock import SystemClock
from worker.deployment import Deployment
from worker.journal import Journal
from worker.ledger import Ledger
from worker.scan import Scan
from worker.state import State

ROUNDS = 5


@pytest.fixture
def config(tmp_path, redis_url, monkeypatch):
    path = tmp_path / "sheetanchor.toml"
    path.write_text(TOML.format(home=tmp_path))
    monkeypatch.setenv("SHEETANCHOR_CONFIG", str(path))
    monkeypatch.setenv("SHEETANCHOR_REDIS_URL", redis_url)
    monkeypatch.setattr("worker.scan.EVERY", 0.05)
    (tmp_path / "state").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path / "state"]
    subprocess.run(mount, check=True)
    yield configfile.load(path)
    subprocess.run(["umount", "--lazy", tmp_path / "state"], check=True)


def test_what_a_dead_process_left_waits_for_room_with_one_line_and_is_then_gone_on_with(
    config, redis, caplog, monkeypatch
):
    caplog.set_level("INFO")
    beats = []
    monkeypatch.setattr(Ledger, "beat", lambda _: beats.append(1))
    state = State.of(config, config.apps["shop"])
    asked = Deployment(
        id="20261122t143000-3f9a1c",
        app="shop",
        kind="deploy",
        trigger="push",
        by=None,
        queued_at="2026-11-22T14:30:00.000Z",
    )
    journal = Journal.begin(state.journals, asked, SystemClock())  # of which nothing had begun
    state.reserve.path.unlink()
    filler = fill(state.home)
    scan = Scan(config, Ledger(redis))

    scan.start()
    try:
        until(lambda: len(beats) > ROUNDS, "some rounds")
        assert journal.records()
        filler.unlink()
        until(lambda: not journal.records(), "the journal is forgotten")
    finally:
        scan.stop()

    assert [one.levelname for one in caplog.records if one.msg == "disk.full"] == ["ERROR"]
    assert [one.msg for one in caplog.records if "disk" in one.msg][-1] == "disk.has_room"
