"""What is due by itself, done in this process as the slow worker's scan starts it."""

import json
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from tests.backups.test_verify import flip
from tests.deployments import asked_for
from worker import configfile, lock
from worker.backups import catalogue, drilled
from worker.clock import SystemClock, parse, rfc3339
from worker.decisions import Decisions
from worker.jobs import Runner
from worker.journal import Journal
from worker.schedule import BACKUP, DRILL, Schedule
from worker.slow import Slow

CRONS = 'schedule = "0 2 * * *"\ndrill = "0 4 * * 0"\n'


@pytest.fixture
def slow(cli, backup, monkeypatch):
    """The slow work of an app whose server was down for a month: both are due."""
    monkeypatch.setattr("worker.slow.PATIENCE", 0.1)
    text = cli.config.read_text() + f"[apps.shop.backup]\n{CRONS}"
    cli.config.write_text(text)
    config = configfile.load(cli.config)
    made = Slow(Runner(config, config.apps[cli.app], None, None, SystemClock()))
    of(made).settle()
    stored = json.loads(made.runner.state.schedule.read_text())
    month_ago = rfc3339(datetime.now(UTC) - timedelta(days=31))
    for entry in stored.values():
        entry["handled"] = month_ago
    made.runner.state.schedule.write_text(json.dumps(stored))
    return made


def of(slow):
    runner = slow.runner
    return Schedule.of(runner.app, runner.state, runner.clock)


def kinds(slow):
    app = slow.runner.app
    return [one.kind for one in catalogue.backups(app.backup_dir, app.name)]


def test_missed_backups_are_made_up_once_and_so_is_the_drill_with_the_new_one(cli, slow):
    assert of(slow).due() == [BACKUP, DRILL]

    slow.work_off()
    slow.work_off()

    assert kinds(slow) == ["scheduled", "manual"]
    newest = catalogue.find(slow.runner.app.backup_dir, "shop")
    assert drilled.read(slow.runner.state.drill)["backup"] == newest.id
    assert of(slow).due() == []
    shown = cli("status", cli.app, "--json").json["schedule"]
    assert parse(shown["backup"]["succeeded_at"]) > datetime.now(UTC) - timedelta(hours=1)
    assert parse(shown["backup"]["next"]) > datetime.now(UTC)
    assert (shown["backup"]["cron"], shown["backup"]["failed"]) == ("0 2 * * *", None)
    assert "next backup" in cli("status", cli.app).out


def test_frozen_app_is_backed_up_all_the_same(slow):
    decisions = Decisions(slow.runner.state.decisions)
    decisions.hold("frozen", by="ann", at="now", reason="exam week", head=None)
    slow.work_off()
    assert kinds(slow)[0] == "scheduled"


def test_busy_app_s_backup_waits_its_turn_and_is_told_and_the_drill_does_not_wait(
    slow, held_lock, caplog
):
    caplog.set_level("INFO")
    slow.work_off()
    assert kinds(slow) == ["manual"]
    assert of(slow).due() == [BACKUP]
    assert "backup.waits" in caplog.text
    assert drilled.read(slow.runner.state.drill)["passed_at"]


def test_backup_waits_until_a_dead_deployment_was_brought_to_its_end(slow):
    Journal.begin(slow.runner.state.journals, asked_for(), SystemClock())
    slow.work_off()
    assert kinds(slow) == ["manual"]
    assert BACKUP in of(slow).due()


def test_failed_backup_is_shown_with_its_remedy_and_tried_again_after_a_pause(cli, slow):
    env = slow.runner.app.env_path
    text = cli.config.read_text().replace("[apps.shop.data]", '[apps.shop.data]\nmongodb = "none"')
    cli.config.write_text(text)
    config = configfile.load(cli.config)
    broken = Slow(Runner(config, config.apps["shop"], None, None, SystemClock()))

    broken.work_off()

    assert (env.exists(), kinds(slow)) == (True, ["manual"])
    shown = cli("status", cli.app, "--json").json["schedule"]["backup"]
    assert "none could not be read" in shown["failed"]["why"]
    assert shown["failed"]["remedy"]
    wait = parse(shown["next"]) - datetime.now(UTC)
    assert timedelta(0) < wait <= timedelta(minutes=1)
    assert "none could not be read" in cli("status", cli.app).out
    assert BACKUP not in of(slow).due()


def test_due_drill_reads_all_backups_back_and_names_the_damaged_one(slow, backup):
    photo = backup.path / "uploads/uploads/photo"
    photo.unlink()
    photo.write_text("A PHOTO")

    slow.work_off()

    newest = catalogue.find(slow.runner.app.backup_dir, "shop")
    assert drilled.read(slow.runner.state.drill)["backup"] == newest.id != backup.id
    assert backup.id in of(slow).view()[DRILL]["failed"]["why"]
    app = slow.runner.app
    [_, old] = catalogue.backups(app.backup_dir, app.name)
    assert (old.id, "photo" in old.damage) == (backup.id, True)


def test_drill_that_fails_for_good_waits_for_its_next_time(slow, backup, held_lock):
    flip(backup.path / "uploads/uploads/photo")
    slow.work_off()
    assert "no verified" in drilled.read(slow.runner.state.drill)["failed"]["why"]
    assert DRILL not in of(slow).due()
    entry = json.loads(slow.runner.state.schedule.read_text())[DRILL]
    assert (entry["tries"], entry["retry_at"]) == (0, None)
    assert "no verified" in of(slow).view()[DRILL]["failed"]["why"]


def test_nothing_is_done_while_other_slow_work_runs(slow):
    with lock.held(slow.runner.state.slow_lock, "shop"):
        slow.work_off()
    assert of(slow).due() == [BACKUP, DRILL]


def test_backup_that_is_stopped_in_order_is_due_as_before(slow, monkeypatch):
    entries = slow.runner.state.schedule.read_text()
    monkeypatch.setattr(Runner, "back_up", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr("worker.stoppable.end_soon", lambda: None)
    with pytest.raises(SystemExit):
        slow.work_off()
    assert json.loads(slow.runner.state.schedule.read_text()) == json.loads(entries)
    assert lock.is_free(slow.runner.state.lock)


def test_backup_that_kills_its_process_is_tried_again_after_a_pause_and_the_drill_goes_on(slow):
    pid = os.fork()
    if pid == 0:
        Runner.back_up = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        slow.work_off()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert of(slow).due() == [DRILL]
    wait = parse(of(slow).view()[BACKUP]["next"]) - datetime.now(UTC)
    assert timedelta(0) < wait <= timedelta(minutes=1)
    slow.work_off()
    assert kinds(slow) == ["manual"]
    assert drilled.read(slow.runner.state.drill)["passed_at"]


def test_wrong_cron_texts_are_told_at_once_with_their_nearest_right_spelling(cli):
    wrong = '[apps.shop.backup]\nschedule = "2:00"\ndrill = "0 4 * * sunday"\nshedule = ""\n'
    cli.config.write_text(cli.config.read_text() + wrong)
    said = cli("status", code=2).err
    assert "apps.shop.backup.schedule: should have five fields: minute, hour" in said
    assert "(did you mean \"0 2 * * *\"?) (it is '2:00')." in said
    assert "apps.shop.backup.drill: weekday 'sunday' should be 0 to 7, or sun to sat" in said
    assert '(did you mean "0 4 * * sun"?)' in said
    assert "shedule: unknown key (did you mean schedule?)" in said
