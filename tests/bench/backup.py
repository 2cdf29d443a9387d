"""What backups and restores cost, beside bare loops in the same run.

`python -m tests.bench.backup [DOCUMENTS] [FILES] [ROUNDS]`, in the top folder; a million
documents of 600 bytes and 20,000 files of 75 KB if left out, and three rounds. Prints one
JSON object: seconds (medians), ratios and peak memory. Each backup is a process of its own,
so that its memory is its own. mongodump, mongorestore and rsync take part where they are on
PATH. Trust the ratios: a machine with other work makes seconds of any length.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from pymongo import MongoClient

from tests.backups.support import Thynk, running_mongod
from worker.adapters.mongo import Mongo
from worker.backups import catalogue, make, restore
from worker.backups.load import Load
from worker.backups.source import Source
from worker.clock import SystemClock
from worker.config import App, Data

DOCUMENTS, FILES, ROUNDS = (
    int(value) for value in (*sys.argv[1:4], *("1000000", "20000", "3")[len(sys.argv[1:4]) :])
)
FILE_BYTES = 75_000
CHANGED = 100  # one file in so many
HERE = "tests.bench.backup"
SET = ("--replSet", "rs0", "--oplogSize", "990")


def fill(db, documents):
    """Chat-like documents with six indexes, and small collections beside them."""
    text = [os.urandom(150).hex() for _ in range(500)]
    for begin in range(0, documents, 10_000):
        db.messages.insert_many(
            {
                "room": n % 5_000,
                "author": n % 1_000,
                "n": n,
                "text": f"{text[n % 500]} {n}",
                "tags": ["a", "b", str(n % 7)],
                "more": "the same in all of them, as chats have it " * 4,
            }
            for n in range(begin, min(begin + 10_000, documents))
        )
    for keys in ("room", "author", "n", "tags", [("room", 1), ("n", -1)]):
        db.messages.create_index(keys)
    for number in range(19):
        db[f"small{number}"].insert_many({"n": n} for n in range(100))


def timed(work):
    os.sync()
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def bare_loop(uri):
    """Read everything and write the raw bytes, nothing else."""
    with MongoClient(uri) as client, open("/dev/null", "wb") as out:
        db = client["thynk"]
        for name in db.list_collection_names():
            for batch in db[name].find_raw_batches({}, batch_size=5_000):
                out.write(batch)


def bare_loop_to_disk(uri, folder):
    with MongoClient(uri) as client:
        db = client["thynk"]
        for name in db.list_collection_names():
            with (folder / name).open("wb") as out:
                for batch in db[name].find_raw_batches({}, batch_size=5_000):
                    out.write(batch)


def child(what, uri, checkout, **environment):
    """Run one thing in a process of its own; return its seconds and its peak memory in MB."""
    os.sync()
    argv = [sys.executable, "-c", f"import {HERE} as b; b.alone({what!r}, {uri!r}, {checkout!r})"]
    done = subprocess.run(argv, check=True, capture_output=True, env=os.environ | environment)
    return json.loads(done.stdout)


def alone(what, uri, checkout):
    """In the child: back up (`database` or `uploads`), or restore the newest backup."""
    with Mongo.connect(uri, ("thynk",)) as mongo:
        thynk = app(uri, Path(checkout), mongo if what != "uploads" else None)
        if what == "unverified":
            make.check = lambda *_: []
        begin = time.perf_counter()
        if what == "restore":
            found = restore_timed(thynk)
        else:
            previous = newest(thynk) if what == "uploads" else None
            thynk.backup(previous=previous)
            found = {}
        found["seconds"] = time.perf_counter() - begin
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


def app(uri, checkout, mongo):
    data = Data(uploads=() if mongo else ("backend/uploads",))
    secret = Path("/nowhere")
    named = {"name": "thynk", "repository": "a/b", "webhook_secret_file": secret}
    source = Source(
        app=App(checkout=checkout, data=data, **named), mongo=mongo, clock=SystemClock()
    )
    return Thynk(MongoClient(uri, connect=False), mongo, source, checkout)


def newest(thynk):
    there = catalogue.backups(thynk.source.app.backup_dir, "thynk")
    return there[0] if there else None


def restore_timed(thynk):
    found, swap = {}, Load.swap

    def timed_swap(self):
        found["swap_seconds"] = timed_without_sync(lambda: swap(self))
        found["swapped"] = len(self._staged)

    Load.swap = timed_swap
    restore.restore(thynk.source, newest(thynk), report=lambda _: None)
    return found


def timed_without_sync(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def medians(rows):
    return {name: round(statistics.median(values), 3) for name, values in rows.items()}


def databases(home):
    (home / "mongod").mkdir()
    rows, peaks = {}, {}
    with running_mongod(home / "mongod", *SET) as port:
        uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        with MongoClient(uri) as client:
            for documents in (DOCUMENTS // 4, DOCUMENTS):
                client.drop_database("thynk")
                fill(client["thynk"], documents)
                raw = client["thynk"].command("dbStats")["dataSize"] / 1e6
                client.admin.command("fsync")
                rows = dump_rounds(uri, home, raw)
                peaks[f"{raw:.0f} MB"] = {
                    name: rows.pop(name) for name in ("dump_mb", "restore_mb")
                }
    return rows, peaks


def dump_rounds(uri, home, raw):
    found = {}
    checkout = str(home / "checkout")
    peak = []
    for _ in range(ROUNDS):
        scratch = home / "scratch"
        scratch.mkdir()
        once = {
            "bare_loop": timed(partial(bare_loop, uri)),
            "bare_loop_to_disk": timed(partial(bare_loop_to_disk, uri, scratch)),
        }
        shutil.rmtree(scratch)
        for name in ("unverified", "database"):
            shutil.rmtree(checkout, ignore_errors=True)
            made = child(name, uri, checkout)
            once[name], memory = made["seconds"], made["peak_mb"]
        peak.append(memory)
        if shutil.which("mongodump"):
            argv = ["mongodump", "--uri", uri, "-d", "thynk", "--gzip", "--quiet", "-o"]
            once["mongodump_gzip"] = timed(
                lambda: subprocess.run([*argv, str(scratch)], check=True)  # noqa: B023
            )
        for name, value in once.items():
            found.setdefault(name, []).append(value)
    spoilt = child_restore(uri, checkout)
    result = medians(found)
    return result | {
        "raw_mb": round(raw),
        "restore": round(spoilt["seconds"], 2),
        "restore_mb_per_second": round(raw / spoilt["seconds"], 1),
        "swap_ms": round(spoilt["swap_seconds"] * 1000, 1),
        "swapped_collections": spoilt["swapped"],
        "dump_to_bare_loop": round(result["bare_loop"] / result["unverified"], 2),
        "verified_to_unverified": round(result["database"] / result["unverified"], 2),
        "dump_mb": round(max(peak)),
        "restore_mb": round(spoilt["peak_mb"]),
    }


def child_restore(uri, checkout):
    with MongoClient(uri) as client:
        for name in client["thynk"].list_collection_names():
            client["thynk"][name].delete_one({})
    return child("restore", uri, checkout)


def uploads(home):
    """A first copy, then one file in a hundred changed: ours beside rsync's."""
    checkout = home / "files"
    live = checkout / "backend/uploads"
    for number in range(FILES):
        path = live / f"{number % 100}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(FILE_BYTES))
    time.sleep(2.1)  # younger files are copied again: their times prove nothing yet
    uri, found = "mongodb://127.0.0.1:1/", {}
    found["first"] = [child("uploads", uri, str(checkout))["seconds"]]
    if shutil.which("rsync"):
        subprocess.run(["rsync", "-a", f"{live}/", str(home / "rsync0")], check=True)
    for count in range(1, ROUNDS + 1):
        for number in range(0, FILES, CHANGED):
            (live / f"{number % 100}" / f"{number}.jpg").write_bytes(os.urandom(FILE_BYTES))
        time.sleep(2.1)
        free = shutil.disk_usage(home).free
        found.setdefault("second", []).append(child("uploads", uri, str(checkout))["seconds"])
        found.setdefault("new_mb", []).append((free - shutil.disk_usage(home).free) / 1e6)
        if shutil.which("rsync"):
            link = f"--link-dest={home / f'rsync{count - 1}'}"
            argv = ["rsync", "-a", link, f"{live}/", str(home / f"rsync{count}")]
            found.setdefault("rsync_link_dest", []).append(
                timed(lambda: subprocess.run(argv, check=True))  # noqa: B023
            )
    return medians(found)


def main():
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        rows, peaks = databases(home)
        print(json.dumps({"load": os.getloadavg(), "databases": rows, "peak_mb": peaks}, indent=1))
        print(json.dumps({"load": os.getloadavg(), "uploads": uploads(home)}, indent=1))


if __name__ == "__main__":
    main()
