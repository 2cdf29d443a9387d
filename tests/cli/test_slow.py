"""The slow work of one app, in this process: what is asked is done once, whoever dies."""

import os
import signal
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.backups.support import until
from tests.backups.test_verify import flip
from worker import configfile, lock
from worker.backups import catalogue, drilled, undone
from worker.clock import SystemClock, rfc3339
from worker.deployment import new_id
from worker.errors import BackupError, UnavailableError
from worker.jobs import Runner
from worker.requests import BACKUP, DRILL, SLOW, VERIFY, Request, Requests
from worker.slow import TRIES, Slow
from worker.slow_bells import SlowScan
from worker.state import State


@pytest.fixture
def slow(cli, backup):
    config = configfile.load(cli.config)
    return Slow(Runner(config, config.apps[cli.app], None, None, SystemClock()))


def ask(slow, backup=None, **fields):
    now = datetime.now(UTC)
    about = {"verb": VERIFY, "by": "ann", "backup": backup, **fields}
    asked = Request(id=new_id(now), at=rfc3339(now), **about)
    slow.requests.leave(asked)
    return asked


def listed(slow):
    return catalogue.backups(slow.runner.app.backup_dir, slow.runner.app.name)


def test_what_was_asked_is_done_and_forgotten(slow, backup):
    flip(backup.path / "uploads/uploads/photo")
    ask(slow, backup.id)
    ask(slow, "20200101_000000")  # gone meanwhile

    slow.work_off()

    assert slow.requests.all() == []
    assert "photo" in listed(slow)[0].damage


def test_nothing_is_done_while_another_process_does_slow_work(slow, monkeypatch):
    monkeypatch.setattr("worker.slow.PATIENCE", 0.1)
    asked = ask(slow)
    with lock.held(slow.runner.state.slow_lock, "shop"):
        slow.work_off()
    assert slow.requests.all() == [asked]


def test_what_kills_its_process_is_begun_three_times_and_then_given_up(
    slow, backup, monkeypatch, cli
):
    """Killed for good each time, so nothing but the file can have counted; then it is told."""
    ask(slow, backup.id)
    for tries in range(1, TRIES + 1):
        pid = os.fork()
        if pid == 0:
            monkeypatch.setattr(Slow, "_act", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            slow.work_off()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        assert [one.tries for one in slow.requests.all()] == [tries]
    acted = []
    with monkeypatch.context() as patched:
        patched.setattr(Slow, "_act", lambda _, asked: acted.append(asked))
        slow.work_off()
    assert (acted, slow.requests.all()) == ([], [])
    shown = cli("status", "shop")
    assert f"not done verify {backup.id}, asked by ann: at " in " ".join(shown.out.split())
    assert "died 3 times. Look for the cause" in shown.out
    ask(slow, backup.id)
    slow.work_off()
    assert "not done" not in cli("status", "shop").out


def test_backup_that_is_asked_for_waits_its_turn_and_holds_up_no_other(slow, backup):
    ask(slow, verb=BACKUP)
    ask(slow, backup.id)
    with lock.held(slow.runner.state.lock, "shop"):
        slow.work_off()
        assert [one.verb for one in slow.requests.all()] == [BACKUP]
        assert listed(slow)[0].verified_at > backup.verified_at
    slow.work_off()
    assert slow.requests.all() == []
    assert [(one.kind, bool(one.verified_at)) for one in listed(slow)] == [("manual", True)] * 2


def test_backup_that_could_not_be_made_is_shown_until_one_was(slow):
    blocked = slow.runner.app.checkout / "backups"
    blocked.rename(slow.runner.app.checkout / "elsewhere")
    blocked.write_text("in the way")
    ask(slow, verb=BACKUP)
    slow.work_off()
    [failed] = undone.read(slow.runner.state.undone)
    assert (failed["verb"], failed["by"]) == ("backup", "ann")
    assert "File exists" in failed["why"]
    blocked.unlink()
    ask(slow, verb=BACKUP)
    slow.work_off()
    assert undone.read(slow.runner.state.undone) == []


def test_failed_reading_of_all_is_shown_until_all_were_read(slow, backup, monkeypatch):
    def broken(*_):
        raise BackupError("It could not be read: Too many open files.", remedy="Raise it.")

    with monkeypatch.context() as patched:
        patched.setattr(Slow, "_act", broken)
        for named in (None, backup.id):
            ask(slow, named)
            slow.work_off()
    found = undone.read(slow.runner.state.undone)
    assert [(one["backup"], one["by"]) for one in found] == [(None, "ann"), (backup.id, "ann")]
    assert found[0]["why"].endswith("Too many open files.")
    ask(slow)
    slow.work_off()
    assert undone.read(slow.runner.state.undone) == []


def test_drill_that_dies_each_time_is_told_and_its_scratch_is_removed(slow, backup):
    folder = backup.path.with_name(".sheetanchor-drill")
    folder.mkdir()
    (folder / "drill.json").write_text('{"app": "shop"}')
    (folder / "uploads").mkdir()
    ask(slow, verb=DRILL, tries=TRIES)
    slow.work_off()
    assert "died 3 times" in drilled.read(slow.runner.state.drill)["failed"]["why"]
    assert not folder.exists()


def test_what_is_stopped_in_order_is_asked_for_as_before(slow, monkeypatch):
    asked = ask(slow)
    monkeypatch.setattr(Slow, "_act", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    at_last = []
    monkeypatch.setattr("worker.stoppable.end_soon", lambda: at_last.append("ended"))
    with pytest.raises(SystemExit):
        slow.work_off()
    assert at_last == ["ended"]
    assert slow.requests.all() == [asked]
    assert lock.is_free(slow.runner.state.slow_lock)


def test_failure_is_told_and_holds_up_nothing_behind_it(slow, monkeypatch, caplog):
    def away(*_):
        raise UnavailableError("mongod is away.", remedy="Start it.")

    ask(slow)
    monkeypatch.setattr(Slow, "_act", away)
    slow.work_off()
    assert slow.requests.all() == []
    assert "slow.failed" in caplog.text


@pytest.mark.parametrize("verb", ["unfreeze", "freeze", "rm"])
def test_request_of_another_kind_is_no_slow_work(slow, verb):
    asked = ask(slow)
    text = (slow.requests.folder / f"{asked.id}.json").read_text()
    (slow.requests.folder / f"{asked.id}.json").write_text(text.replace(VERIFY, verb))
    assert slow.requests.all() == []


def test_slow_work_is_no_order_about_the_app(slow):
    asked = ask(slow)
    orders = Requests(slow.runner.state.requests)
    orders.leave(asked)
    assert orders.all() == []


def test_the_same_is_waited_for_once_but_what_is_begun_is_another_matter(slow, backup):
    asked = ask(slow, backup.id)
    again = replace(asked, id=new_id(datetime.now(UTC)), by="eve")
    requests = Requests(slow.runner.state.slow, SLOW)
    assert requests.same(again) == asked
    assert requests.same(replace(again, backup=None)) is None
    requests.begin(asked)
    assert requests.same(again) is None


def test_schedule_that_is_set_while_the_worker_runs_is_begun(cli, monkeypatch):
    """`status` shows when it comes next; nobody would see that it never does."""
    monkeypatch.setenv("SHEETANCHOR_CONFIG", str(cli.config))
    monkeypatch.setattr("worker.slow_bells.EVERY", 0.1)
    config, stopping, text = configfile.load(cli.config), threading.Event(), cli.config.read_text()
    begun = State.of(config, config.apps[cli.app]).schedule
    scan = SlowScan(config, stopping)
    scan.start()
    try:
        cli.config.write_text(f"{text}nothing = true\n")
        cli.config.write_text(f'{text}[apps.{cli.app}.backup]\nschedule = "7 3 * * *"\n')
        until(lambda: begun.exists() and "7 3 * * *" in begun.read_text(), seconds=120)
    finally:
        stopping.set()
        scan.wake()
        scan.join()
