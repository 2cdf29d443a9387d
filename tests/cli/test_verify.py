"""`sheetanchor verify` and `prune`, and what they find in the folder."""

import pytest

from tests.backups.test_verify import flip
from tests.deployments import asked_for
from worker import configfile, lock
from worker.backups import make
from worker.backups.reading import reading
from worker.backups.source import Source
from worker.clock import SystemClock
from worker.journal import Journal
from worker.state import State


def test_verify_names_the_damaged_one_exits_1_and_it_never_counts_again(cli, backup):
    assert cli("verify", cli.app).out == f"{backup.id}  whole\n"
    photo = backup.path / "uploads/uploads/photo"
    flip(photo)

    ran = cli("verify", cli.app, code=1)
    shown = cli("verify", cli.app, backup.id, "--json", code=1).json

    assert ran.out.startswith(f"{backup.id}  DAMAGED\n  uploads/uploads/photo ")
    assert shown["id"] == backup.id
    assert shown["verified_at"] is None
    assert "photo" in shown["damage"]
    [listed] = cli("backups", cli.app, "--json").json["backups"]
    assert (listed["verified_at"], listed["damage"]) == (None, shown["damage"])
    assert "DAMAGED: uploads/uploads/photo" in cli("backups", cli.app).out
    assert cli("status", cli.app, "--json").json["last_verified_backup"] is None
    assert "no verified backup" in cli("restore", cli.app, "--yes", code=2).err


def test_verify_of_a_backup_that_is_not_there_is_2(cli, backup):
    assert backup.id in cli("verify", cli.app, "20200101_000000", code=2).err
    assert "20200101" in cli("verify", cli.app, "20200101_000000", "--json", code=2).out


def test_verify_waits_for_no_deployment_and_not_for_another_verify(cli, backup, held_lock):
    cli("verify", cli.app)
    with lock.held(cli.home / "state" / "apps" / cli.app / "slow.lock", cli.app):
        assert "already" in cli("verify", cli.app, code=4).err


def test_prune_says_what_would_go_and_then_removes_that_and_nothing_else(cli, backup):
    theirs = backup.path.with_name("20200101_000000")
    theirs.mkdir()
    (theirs / "manifest.txt").write_text("an old script's")
    newer = [cli("backup", cli.app, "--json").json["id"] for _ in range(2)]
    assert cli("prune", cli.app, "--dry-run", "--json").json["would_remove"] == []
    cli.config.write_text(cli.config.read_text() + "[apps.shop.backup]\nkeep = 1\n")

    dry = cli("prune", cli.app, "--dry-run", "--json").json

    assert dry == {"would_remove": [backup.id, newer[0]], "kept": [newer[1]], "offsite": []}
    assert backup.path.exists()
    with reading(backup.path):
        assert cli("prune", cli.app, "--json").json["removed"] == [newer[0]]
    assert f"{backup.id}  removed" in cli("prune", cli.app).out
    there = sorted(path.name for path in backup.path.parent.iterdir())
    assert there == [theirs.name, newer[1]]
    assert "Nothing is to be removed" in cli("prune", cli.app).out


def test_prune_waits_for_a_deployment_and_looking_does_not(cli, backup, held_lock):
    cli("prune", cli.app, "--dry-run")


@pytest.mark.parametrize(("status", "goes"), [("failed", True), ("rolled_back", False)])
def test_backup_of_a_deployment_that_failed_before_its_fence_goes(cli, backup, status, goes):
    config = configfile.load(cli.config)
    app, clock = config.apps[cli.app], SystemClock()
    asked = asked_for()
    journal = Journal.begin(State.of(config, app).journals, asked, clock)
    journal.append("after", "end", "end", {"status": status})
    made = make.make(
        Source(app=app, mongo=None, clock=clock),
        kind="pre-deploy", deployment=asked.id, revision=None, images={}, why="a test",
        previous=None, report=lambda _: None,
    )  # fmt: skip
    assert cli("prune", cli.app, "--dry-run", "--json").json["would_remove"] == []
    cli("backup", cli.app)
    shown = cli("prune", cli.app, "--dry-run", "--json").json
    assert (made.id not in shown["kept"]) == goes
    assert made.path.exists() == (not goes)
