"""One thing in a process of its own, so that its memory and its processor time are its own.

`python -m tests.bench.alone WHAT URI CHECKOUT` prints one JSON object. WHAT: bare, bare-restore,
bare-links, unverified, verified, uploads, or restore.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from pymongo import MongoClient

from tests.backups.support import Thynk
from worker.adapters.mongo import Mongo
from worker.backups import catalogue, load, make, restore, stream
from worker.backups.ahead import ahead
from worker.backups.load import Load
from worker.backups.source import Source
from worker.clock import SystemClock
from worker.config import App, Data

BARE = "bare"  # the database of a bare restore


def child(what, uri, checkout):
    """Run this module in a process of its own; return what it found."""
    os.sync()
    argv = [sys.executable, "-m", "tests.bench.alone", what, uri, str(checkout)]
    return json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)


def bare(uri):
    """Read everything and write the raw bytes, nothing else."""
    with MongoClient(uri) as client, open("/dev/null", "wb") as out:
        db = client["thynk"]
        for name in db.list_collection_names():
            for batch in db[name].find_raw_batches({}, batch_size=5_000):
                out.write(batch)


def bare_restore(mongo, checkout):
    """Insert the newest backup's documents in order, 8 MB at a time, then build the indexes.

    No comparison, no read-back, nothing put in place: what the server itself takes for it.
    """
    backup, writer = newest_in(checkout / "backups"), mongo.writer(BARE)
    for _, entry in backup.manifest().collections():
        with (backup.path / entry.file).open("rb") as file:
            parts = iter(lambda: file.read(1 << 20), b"")
            for batch in ahead(load._batches(stream.split(stream.unpacked(parts)))):
                writer.insert(entry.name, batch)
        writer.create_indexes(entry.name, [one for one in entry.indexes if one["name"] != "_id_"])


def bare_links(checkout):
    """List the live files and link those of the newest backup to a new folder, nothing else."""
    live, top = checkout / "backend/uploads", checkout / "bare-links"
    backed_up = newest_in(checkout / "backups").path / "uploads/backend/uploads"
    top.mkdir()
    for folder in os.scandir(live):
        (top / folder.name).mkdir()
        here = os.open(backed_up / folder.name, os.O_RDONLY)
        there = os.open(top / folder.name, os.O_RDONLY)
        for file in os.scandir(folder):
            file.stat(follow_symlinks=False)
            os.link(file.name, file.name, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
        os.close(here)
        os.close(there)


def thynk_at(uri, checkout, mongo):
    """Return an app with a database, or with uploads where there is no `mongo`."""
    data = Data(uploads=() if mongo else ("backend/uploads",))
    app = App(
        name="thynk",
        repository="a/b",
        webhook_secret_file=Path("/nowhere"),
        checkout=checkout,
        data=data,
    )
    source = Source(app=app, mongo=mongo, clock=SystemClock())
    return Thynk(MongoClient(uri, connect=False), mongo, source, checkout)


def newest_in(folder):
    there = catalogue.backups(folder, "thynk")
    return there[0] if there else None


def seconds_of(work, *args):
    begin = time.perf_counter()
    made = work(*args)
    return time.perf_counter() - begin, made


def backed_up(thynk, *, linked, verified):
    """Back up as a deployment does; say how long the read-back took of it.

    The manifest is read from the disk for that: it is part of it.
    """
    found, read_back = {"read_back": 0.0}, make._read_back

    def timed(*args):
        found["read_back"], faults = seconds_of(read_back, *args) if verified else (0.0, [])
        return faults

    make._read_back = timed
    thynk.backup(previous=newest_in(thynk.source.app.backup_dir) if linked else None)
    return found


def restored(thynk):
    """Restore the newest backup; say how long its swap took, and of how many collections."""
    found, swap = {}, Load.swap

    def timed(self):
        found["swap"], _ = seconds_of(swap, self)
        found["swapped"] = len(self._staged)

    Load.swap = timed
    restore.restore(thynk.source, newest_in(thynk.source.app.backup_dir), report=lambda _: None)
    return found


def done(what, uri, checkout):
    if what == "bare":
        return bare(uri) or {}
    if what == "bare-links":
        return bare_links(checkout) or {}
    with Mongo.connect(uri, ("thynk",)) as mongo:
        if what == "bare-restore":
            return bare_restore(mongo, checkout) or {}
        thynk = thynk_at(uri, checkout, mongo if what != "uploads" else None)
        if what == "restore":
            return restored(thynk)
        return backed_up(thynk, linked=what == "uploads", verified=what != "unverified")


def main():
    what, uri, checkout = sys.argv[1:]
    begin = time.process_time()
    seconds, found = seconds_of(done, what, uri, Path(checkout))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpu = time.process_time() - begin
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": peak, **found}), flush=True)
    os._exit(0)  # the driver's threads are waited for elsewhere


if __name__ == "__main__":
    main()
