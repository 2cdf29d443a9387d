"""`sheetanchor drill`: what a person sees of it. What it finds: `backups/test_drill.py`."""

import json

from tests.backups.test_verify import flip
from worker import lock


def test_drill_passes_beside_a_deployment_and_status_says_how_long_a_restore_takes(
    cli, backup, held_lock
):
    before = sorted(backup.path.parent.iterdir())

    found = cli("drill", cli.app, "--json").json

    assert (found["backup"], found["files"], found["failed"]) == (backup.id, 2, None)
    assert found["restore_seconds"] > 0
    assert sorted(backup.path.parent.iterdir()) == before
    assert cli("status", cli.app, "--json").json["drill"] == found
    assert f"with {backup.id}: a restore takes" in cli("status", cli.app).out
    assert "all equal" in cli("drill", cli.app).out
    assert list((cli.home / "state/apps/shop/slow").iterdir()) == []


def test_failed_drill_is_1_stays_in_sight_and_the_damaged_backup_counts_no_more(cli, backup):
    cli("drill", cli.app)
    flip(backup.path / "uploads/uploads/photo")

    assert "photo" in cli("drill", cli.app, code=1).err

    status = cli("status", cli.app, "--json").json
    assert status["drill"]["failed"]["backup"] == backup.id
    assert "photo" in status["drill"]["failed"]["why"]
    assert (status["drill"]["backup"], status["last_verified_backup"]) == (backup.id, None)
    assert "drill failed" in cli("status", cli.app).out
    assert "no verified backup" in cli("drill", cli.app, code=2).err
    record = json.loads((cli.home / "state/apps/shop/drill.json").read_text())
    assert "no verified backup" in record["failed"]["why"]


def test_drill_waits_for_no_other_slow_work(cli, backup):
    path = cli.home / "state/apps/shop/slow.lock"
    path.parent.mkdir(parents=True)
    with lock.held(path, cli.app):
        assert "already" in cli("drill", cli.app, code=4).err
