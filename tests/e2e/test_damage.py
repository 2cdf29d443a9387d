"""A disk that lies: a file of the backup is damaged between its write and the rename."""

import os

import pytest

from tests.e2e.world import TOP, release

# Put first on the path of `sheetanchor`: damages one file just before the read-back,
# which is handed nothing but the folder.
DAMAGE = """
import glob, os
from worker.backups import make

check = make.check

def damaged_first(folder, *rest, **options):
    path = glob.glob(os.path.join(folder, {pattern!r}))[0]
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    return check(folder, *rest, **options)

make.check = damaged_first
"""
FILES = {
    "documents": "mongodb/*/documents.bson.gz",
    "metadata": "mongodb/*/documents.metadata.json.gz",
    "upload": "uploads/uploads/upload-1.txt",
    "env-file": "config/.env.production",
    "manifest-for-people": "manifest.txt",
}


@pytest.mark.parametrize("pattern", FILES.values(), ids=FILES)
def test_damaged_backup_ends_the_deploy_before_anything_is_touched(world, tmp_path, pattern):
    world.prepare()
    world.cli("deploy", world.name, check=0)
    world.fill()
    before = world.fingerprint()
    world.commit({"release.json": release("two")})
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(DAMAGE.format(pattern=pattern))
    env = os.environ | {"PYTHONPATH": f"{tmp_path / 'path'}:{TOP}"}

    done = world.cli("--json", "deploy", world.name, check=1, env=env)

    assert '"status": "failed"' in done.stdout
    assert '"step": "backup"' in done.stdout
    assert pattern.rpartition("/")[2] in done.stdout
    assert world.fingerprint() == before
    assert not [b for b in world.backups() if b["kind"] == "pre-deploy"][1:]
