"""Old scripts and cron lines that clean the backup folder are found, others' are not."""

from pathlib import Path

import pytest

from worker.backups import cleaners, seen
from worker.config import App

OLD_SCRIPT = """#!/bin/bash
# rm -rf backups would be bad
BACKUP_DIR="./backups"
TIMESTAMP=$(date +%Y%m%d_%H%M%S)
KEEP=7
mongodump --out "$BACKUP_DIR/$TIMESTAMP"
rm -rf /tmp/staging
old=$(ls -dt ${BACKUP_DIR}/*/ | tail -n +$((KEEP + 1)))
for one in $old; do
    rm -rf "$one"
done
"""
CLEANING = {
    "a-list": (OLD_SCRIPT, 'rm -rf "$one"'),
    "a-pipe": ("ls -t $HERE/backups | tail -n +8 | xargs -r rm -rf\n", "ls -t"),
    "find": ("find backups/ -mtime +7 -delete\n", "find backups/"),
    "inside": ("cd backups\nls -t | tail -n +8 | xargs rm -rf\n", "ls -t"),
    "exec": ('D=backups\nfind "$D" -maxdepth 1 -exec rm -rf {} +\n', "find"),
}
KEEPING = {
    "another-folder": "find /srv/other/backups -mtime +7 -delete\n",
    "another-name": "rm -rf backups-old/\n",
    "only-made": "mkdir -p backups\nrm -rf /tmp/x\n",
    "a-comment": "# rm -rf backups/*\n",
    "left-again": "cd backups\ncd /tmp\nrm -rf *\n",
}


@pytest.fixture
def app(tmp_path):
    made = App(
        name="shop",
        repository="acme/shop",
        checkout=tmp_path / "shop",
        webhook_secret_file=Path("/x"),
    )
    made.backup_dir.mkdir(parents=True)
    return made


def cron(tmp_path, line):
    table = tmp_path / "root" / "etc" / "cron.d" / "thynk"
    table.parent.mkdir(parents=True)
    table.write_text(f"# backups\nMAILTO=root\n{line}\n")
    return tmp_path / "root"


@pytest.mark.parametrize(("text", "line"), CLEANING.values(), ids=CLEANING)
def test_a_script_of_the_checkout_that_cleans_the_folder_is_told_with_its_line(app, text, line):
    (app.checkout / "deploy.sh").write_text(text)

    (told,) = cleaners.found(app, Path("/nowhere"))

    assert told.startswith(f"Something else may remove backups in {app.backup_dir}: ")
    assert f"{app.checkout}/deploy.sh, line " in told
    assert line in told


@pytest.mark.parametrize("text", KEEPING.values(), ids=KEEPING)
def test_a_script_that_cleans_something_else_is_not_told(app, text):
    (app.checkout / "deploy.sh").write_text(text)

    assert cleaners.found(app, Path("/nowhere")) == []


def test_a_cron_line_that_cleans_the_folder_is_told(app, tmp_path):
    line = f"0 3 * * * root find {app.backup_dir} -mtime +7 -exec rm -rf {{}} \\;"
    root = cron(tmp_path, line)

    (told,) = cleaners.found(app, root)

    assert told.endswith(f"{root}/etc/cron.d/thynk, line 3: {line}")


def test_a_script_that_cron_runs_from_elsewhere_is_read(app, tmp_path):
    script = tmp_path / "clean"
    script.write_text(f"#!/bin/sh\ncd {app.checkout}\nfind backups -delete\n")
    root = cron(tmp_path, f"0 3 * * * root cd {tmp_path} && ./clean >/dev/null")

    (told,) = cleaners.found(app, root)

    assert told.endswith(f"{script}, line 3: find backups -delete")


@pytest.mark.parametrize(
    "command",
    ["find /srv/other/backups -mtime +7 -delete", "cd /srv/other && find backups -delete"],
)
def test_a_folder_of_the_same_name_elsewhere_is_nobodys_concern(app, tmp_path, command):
    root = cron(tmp_path, f"0 3 * * * root {command}")

    assert cleaners.found(app, root) == []


def test_a_backup_that_vanished_is_known_until_it_is_told(app, tmp_path):
    record = tmp_path / "seen.json"
    for one in ("20261122_020000", "20261123_020000", "20261124_020000"):
        (app.backup_dir / one).mkdir()
    there = {path.name for path in app.backup_dir.iterdir()}
    seen.look(record, app, there, [])
    for one in ("20261122_020000", "20261123_020000"):
        (app.backup_dir / one).rmdir()

    seen.look(record, app, {"20261124_020000"}, ["20261122_020000"])  # that one we removed

    assert seen.vanished(record, app) == ["20261123_020000"]
    seen.told(record, app)
    assert seen.vanished(record, app) == []


def test_a_folder_that_was_moved_has_lost_nothing(app, tmp_path):
    record = tmp_path / "seen.json"
    seen.look(record, app, ["20261122_020000"], [])

    moved = app.model_copy(update={"backup": app.backup.model_copy(update={"dir": tmp_path / "b"})})

    assert seen.vanished(record, moved) == []
