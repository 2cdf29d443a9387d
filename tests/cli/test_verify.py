"""`sheetanchor verify`, and what it finds in the folder."""

from tests.backups.test_verify import flip
from worker import lock


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
