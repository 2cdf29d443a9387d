"""What deploy/up installs for a configuration, without installing anything."""

import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
CONFIG = """\
[apps.shop]
repository = "acme/shop"
checkout = "/srv/shop"
webhook_secret_file = "/nowhere"
[apps.shop.backup]
# offsite = ["rclone:drive:x"]
{}
"""
SCRIPT = """\
. deploy/provision
have() { return 1; }
apt_install() { printf '%s\n' "$@"; }
need_offsite "$1"
"""


@pytest.mark.parametrize(
    ("backup", "installed"),
    [
        ("", []),
        ('offsite = ["rclone:drive:x", "rsync:/mnt/usb"]', ["rclone", "rsync"]),
        ('offsite = ["rsync:me@host:/backups"]', ["rsync", "openssh-client"]),
        ('offsite = ["no target"]', []),
    ],
)
def test_what_carries_copies_is_installed_where_they_are_asked_for(tmp_path, backup, installed):
    config = tmp_path / "sheetanchor.toml"
    config.write_text(CONFIG.format(backup))
    argv = ["bash", "-c", SCRIPT, "bash", str(config)]
    ran = subprocess.run(argv, cwd=TOP, capture_output=True, text=True, check=True, timeout=60)
    assert (ran.stdout.split(), ran.stderr) == (installed, "")
