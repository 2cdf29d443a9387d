"""Each reads what the other wrote: MongoDB's own tools and a backup, where they are on PATH."""

import shutil
import subprocess

import pytest

from tests.backups.everything import fill
from tests.backups.support import fingerprint
from tests.backups.test_old import STAMP, script_s
from worker.backups import adopt

pytestmark = pytest.mark.skipif(
    not (shutil.which("mongodump") and shutil.which("mongorestore")),
    reason="mongodump and mongorestore are not on PATH to be compared with",
)


def run(tool, thynk, *options):
    host, port = thynk.client.address
    uri = f"mongodb://{host}:{port}/?directConnection=true"
    subprocess.run([tool, "--uri", uri, "--quiet", *map(str, options)], check=True)


def test_mongorestore_reads_a_backup(thynk):
    fill(thynk.db)
    good, backup = fingerprint(thynk.db), thynk.backup()
    thynk.client.drop_database("thynk")
    run("mongorestore", thynk, "--gzip", "--dir", backup.path / "mongodb")
    assert fingerprint(thynk.db) == good


@pytest.mark.parametrize("packed", [(), ("--gzip",)], ids=["plain", "gzip"])
def test_what_mongodump_wrote_is_restored(thynk, tmp_path, packed):
    fill(thynk.db)
    good = fingerprint(thynk.db)

    def dump(folder):
        run("mongodump", thynk, "--db", "thynk", *packed, "--out", folder)

    script_s(thynk, tmp_path, dump=dump)
    thynk.client.drop_database("thynk")
    thynk.restore(adopt.chosen(thynk.source, STAMP, len))
    assert fingerprint(thynk.db) == good
