"""offsite push, list, pull, and what the worker sends by itself; with real rclone and rsync."""

import http.server
import os
import shutil
import signal
import threading
from datetime import timedelta

import pytest

from worker import configfile
from worker.backups.make import make
from worker.backups.source import Source
from worker.clock import SystemClock
from worker.errors import UnavailableError
from worker.jobs import Runner
from worker.outgoing import Outgoing
from worker.slow import Slow


@pytest.fixture
def places(cli):
    for name in ("cloud", "disk"):
        (cli.home / name).mkdir()
    return [f"rclone::local:{cli.home}/cloud", f"rsync:{cli.home}/disk"]


def configure(cli, **keys):
    """Add keys of the backup table, as TOML values."""
    lines = "".join(f"{key} = {value!r}\n".replace("'", '"') for key, value in keys.items())
    text = cli.config.read_text().partition(f"[apps.{cli.app}.backup]")[0]
    cli.config.write_text(f"{text}[apps.{cli.app}.backup]\n{lines}")


def work_off(cli):
    config = configfile.load(cli.config)
    Slow(Runner(config, config.apps[cli.app], None, None)).work_off()


def sent(cli):
    """Return what status shows of the copies, read in this process: a program start is slow."""
    config = configfile.load(cli.config)
    runner = Runner(config, config.apps[cli.app], None, None)
    return Outgoing.of(runner.app, runner.state, runner.clock).view()


def another(cli, previous):
    """Make one more backup, of the same app."""
    app = configfile.load(cli.config).apps[cli.app]
    source = Source(app=app, mongo=None, clock=SystemClock(), config_files=(app.env_path,))
    asked = {"deployment": None, "revision": None, "images": {}, "why": "a test"}
    return make(source, kind="manual", previous=previous, report=len, **asked)


def test_push_list_and_pull_by_hand(cli, backup, places):
    away = f"rsync:{cli.home}/usb"
    configure(cli, offsite=[*places, away])

    pushed = cli("--json", "offsite", "push", "shop", code=1).json["targets"]
    assert [(one["copied"], bool(one["error"])) for one in pushed] == [
        (True, False),
        (True, False),
        (False, True),
    ]
    listed = cli("offsite", "list", "shop", code=1).out
    for place in places:
        [line] = [one.split() for one in listed.splitlines() if one.startswith(place)]
        assert line[1:3] == [backup.id, "manual"]
        assert line[-1] == "yes"
    assert f"AWAY: The target {away} is away" in listed
    assert max(map(len, listed.splitlines()[:4])) < len(away) + 80  # told below, not in a column

    shown = cli("--json", "status", "shop").json["offsite"]
    assert [one["backup"] for one in shown] == [backup.id, backup.id, None]
    assert "there is no folder" in shown[2]["failed"]["why"]

    assert "was here already" in cli("offsite", "pull", "shop").out
    shutil.rmtree(backup.path)
    pulled = cli("--json", "offsite", "pull", "shop", "--from", places[1]).json
    assert pulled == {"id": backup.id, "path": str(backup.path), "target": places[1]}
    assert (backup.path / "config/.env").stat().st_mode & 0o777 == 0o600


def test_usage_errors_name_what_could_be_meant(cli, backup, places):
    assert "backup.offsite is not set" in cli("offsite", "push", "shop", code=2).err
    configure(cli, offsite=places[1:])
    assert places[1] in cli("offsite", "list", "shop", "--from", "gdrive:x", code=2).err
    assert "holds a backup" in cli("offsite", "pull", "shop", code=2).err
    work_off(cli)
    assert backup.id in cli("offsite", "pull", "shop", "20200101_000000", code=2).err


def test_a_remote_that_rclone_does_not_know_is_said_to_be_made(cli, backup):
    configure(cli, offsite=["rclone:nowhere:x"])
    told = cli("offsite", "list", "shop", code=1).out
    assert "Make the remote that rclone:nowhere:x names with `rclone config`" in told


def test_without_any_backup_a_restore_names_the_copies_elsewhere(cli, backup):
    shutil.rmtree(backup.path)
    assert "sheetanchor offsite pull shop" in cli("restore", "shop", "--yes", code=2).err


def test_damaged_backup_is_not_copied(cli, backup, places, monkeypatch):
    configure(cli, offsite=places[1:])
    photo = backup.path / "uploads/uploads/photo"
    photo.write_text("a PHOTO")
    monkeypatch.setattr("worker.offsite.FRESH", timedelta(0))

    work_off(cli)

    assert os.listdir(cli.home / "disk") == []
    [shown] = sent(cli)
    assert "is damaged and was not copied" in shown["failed"]["why"]


def test_trouble_of_this_host_s_own_is_recorded_as_any_other(cli, backup, places):
    configure(cli, offsite=places[1:])
    scratch = cli.home / "state/apps/shop/scratch"
    scratch.mkdir(parents=True)
    (scratch / "offsite").write_text("in the way")
    work_off(cli)
    assert "The copy failed on this host" in sent(cli)[0]["failed"]["why"]


def test_worker_sends_the_newest_and_a_stop_is_no_failure(cli, backup, places, monkeypatch):
    configure(cli, offsite=places)
    stopped = []

    def stop(*_):
        stopped.append(True)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr("worker.offsite.Offsite.push", stop)
        patched.setattr("worker.stoppable.end_soon", lambda: None)
        with pytest.raises(SystemExit):
            work_off(cli)
    assert stopped == [True]
    assert [(one["failed"], one["retry_at"]) for one in sent(cli)] == [(None, None)] * 2

    work_off(cli)

    assert os.listdir(cli.home / "disk") == os.listdir(cli.home / "cloud") == [backup.id]
    assert [one["backup"] for one in sent(cli)] == [backup.id] * 2


def test_old_copies_go_only_where_a_number_is_set_and_by_this_app_s_cards_only(cli, backup, places):
    configure(cli, offsite=places)
    work_off(cli)
    second = another(cli, backup)
    work_off(cli)
    for name in ("cloud", "disk"):
        assert sorted(os.listdir(cli.home / name)) == [backup.id, second.id], "all stay"
        (cli.home / name / "precious").mkdir()
    configure(cli, offsite=[*places, f"rsync:{cli.home}/usb"], keep_offsite=1)

    dry = cli("--json", "prune", "shop", "--dry-run", code=1).json
    assert [(one.get("would_remove"), one["kept"]) for one in dry["offsite"]] == [
        ([backup.id], [second.id]),
        ([backup.id], [second.id]),
        ([], []),
    ]
    assert "there is no folder" in dry["offsite"][2]["error"]["message"]
    assert (cli.home / "cloud" / backup.id).exists()
    assert (cli.home / "disk" / backup.id).exists()

    configure(cli, offsite=places, keep_offsite=1)
    shown = cli("prune", "shop").out
    assert all(f"{place}  {backup.id}  removed" in shown for place in places)
    third = another(cli, second)
    work_off(cli)

    for name in ("cloud", "disk"):
        assert sorted(os.listdir(cli.home / name)) == [third.id, "precious"]
    assert backup.path.exists(), "the backups here are another matter"
    assert [one["failed"] for one in sent(cli)] == [None, None]


def test_copy_is_good_though_old_ones_could_not_be_removed(cli, backup, places, monkeypatch):
    def away(*_, **__):
        raise UnavailableError("It is read-only.", remedy="Let it be written to.")

    configure(cli, offsite=places[1:], keep_offsite=1)
    monkeypatch.setattr("worker.thinning.thin", away)
    work_off(cli)
    [shown] = sent(cli)
    assert (shown["backup"], shown["retry_at"]) == (backup.id, None)
    assert shown["failed"]["why"] == "Old copies could not be removed: It is read-only."
    assert "Old copies could not be removed" in cli("status", "shop").out


class Watcher(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(self.server.answer)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *args):
        del args


@pytest.fixture
def watcher():
    with http.server.HTTPServer(("127.0.0.1", 0), Watcher) as server:
        server.asked, server.answer = [], 200
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_watcher_is_told_once_of_each_backup_and_its_address_is_no_one_s(cli, backup, watcher):
    secret = cli.home / "ping"
    secret.write_text(f"http://127.0.0.1:{watcher.server_port}/ping/very-secret-0b1c\n")
    secret.chmod(0o600)
    configure(cli, ping_url=str(secret))

    watcher.answer = 302
    work_off(cli)
    assert watcher.asked == ["/ping/very-secret-0b1c"], "a redirect is not followed"
    failed = cli("--json", "status", "shop")
    assert "was answered 302" in failed.json["ping"]["failed"]["why"]
    assert f"127.0.0.1:{watcher.server_port}" in failed.out
    work_off(cli)
    assert len(watcher.asked) == 1, "it is tried again, but after a pause"

    (cli.home / "state/apps/shop/outgoing.json").unlink()
    watcher.answer = 200
    work_off(cli)
    work_off(cli)
    assert len(watcher.asked) == 2
    told = cli("--json", "status", "shop")
    assert told.json["ping"]["backup"] == backup.id
    assert "0b1c" not in told.out + failed.out + failed.err
    config = configfile.load(cli.config)
    assert "0b1c" not in configfile.redactor(config.apps["shop"])(secret.read_text())
