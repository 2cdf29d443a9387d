"""What backups and restores cost, beside bare loops and other tools in the same run.

`python -m tests.bench.backup [--scale 1] [--rounds 3] [--json]`, in the top folder. At scale
1: a million documents of 600 bytes in 20 collections, and 20,000 files of 75 KB; 0.03 takes a
minute. Each row is a median of interleaved rounds; what is compared ran in the same rounds.
mongodump, mongorestore and rsync take part where they are on PATH. Trust the ratios: a
machine with other work makes seconds of any length.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from pymongo import MongoClient

from tests.backups.support import running_mongod
from tests.bench.alone import BARE, child, seconds_of
from tests.bench.table import Table

FILE_BYTES = 75_000
CHANGED = 100  # one file in so many
SMALL = 19  # collections beside the big one
LARGE, LARGE_BYTES = 25, 12_000_000  # documents; the server's limit is 16 MB
MANY = 500  # collections, of a case of its own
SET = ("--replSet", "rs0", "--oplogSize", "990")
NOWHERE = "mongodb://127.0.0.1:1/"


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
    for number in range(SMALL):
        db[f"small{number}"].insert_many({"n": n} for n in range(100))


def spoil(db):
    """Let every collection differ from the backup."""
    for name in db.list_collection_names():
        db[name].delete_one({})


def tool(argv):
    """Return the seconds of another tool, or None where it is not on PATH."""
    if not shutil.which(argv[0]):
        return None
    os.sync()
    return seconds_of(lambda: subprocess.run(argv, check=True, capture_output=True))[0]


def dump_round(table, uri, home):
    """One round of everything that reads the database."""
    checkout, theirs = home / "checkout", home / "mongodump"
    table.add("bare loop", child("bare", uri, checkout)["seconds"])
    for name in ("unverified", "verified"):
        shutil.rmtree(checkout, ignore_errors=True)
        made = child(name, uri, checkout)
        table.add(f"dump, {name}", made["seconds"])
        table.add(f"dump, {name}: its processor time", made["cpu"])
        table.peak("dump", made["peak_mb"])
    for name, options in (("mongodump", []), ("mongodump --gzip", ["--gzip"])):
        shutil.rmtree(theirs, ignore_errors=True)
        argv = ["mongodump", "--uri", uri, "-d", "thynk", "--quiet", *options, "-o", str(theirs)]
        table.add(name, tool(argv))


def restore_round(table, uri, home):
    """One round: a restore over a database that differs everywhere, beside what has no checks."""
    with MongoClient(uri) as client:
        spoil(client["thynk"])
        made = child("restore", uri, home / "checkout")
        table.add("restore with all indexes", made["seconds"])
        table.add(f"restore: the swap of {made['swapped']} collections", made["swap"])
        table.peak("restore", made["peak_mb"])
        table.add("bare restore loop", child("bare-restore", uri, home / "checkout")["seconds"])
        client.drop_database(BARE)
        argv = ["mongorestore", "--uri", uri, "--drop", "--gzip", "--quiet"]
        table.add("mongorestore", tool([*argv, str(home / "mongodump")]))


def databases(home, documents, rounds):
    """Return the tables of a database of a quarter of the documents, and of all of them."""
    tables = []
    (home / "mongod").mkdir()
    with running_mongod(home / "mongod", *SET) as port:
        uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        with MongoClient(uri) as client:
            for count, times in ((documents // 4, 1), (documents, rounds)):
                client.drop_database("thynk")
                fill(client["thynk"], count)
                size = client["thynk"].command("dbStats")["dataSize"]
                client.admin.command("fsync")
                table = Table(f"MongoDB, {count:,} documents of {size / 1e6:,.0f} MB", size)
                for _ in range(times):
                    dump_round(table, uri, home)
                    restore_round(table, uri, home)
                tables.append(judged(table))
            tables += [large(client, uri, home), many(client, uri, home, rounds)]
    return tables


def judged(table):
    table.rate("dump, unverified")
    table.rate("restore with all indexes")
    table.ratio("dump to bare loop", "bare loop", "dump, unverified", least=0.75)
    table.ratio("dump to mongodump --gzip", "mongodump --gzip", "dump, unverified", least=7)
    table.ratio("verified to unverified", "dump, verified", "dump, unverified", most=1.5)
    table.ratio("restore to bare loop", "restore with all indexes", "bare restore loop", most=1.5)
    table.ratio("restore to mongorestore", "mongorestore", "restore with all indexes", least=1.6)
    swap = next(name for name in table.seconds if "swap" in name)
    table.judge(f"{swap}, in ms", table.median(swap) * 1000, most=100)
    return peaks_judged(table)


def peaks_judged(table):
    for what, peak in table.peaks.items():
        table.judge(f"peak memory of a {what}, in MB", peak, most=250)
    return table


def large(client, uri, home):
    """A database of documents as large as they come: what a backup needs to have in memory."""
    client.drop_database("thynk")
    for n in range(LARGE):
        client["thynk"].large.insert_one({"_id": n, "content": os.urandom(LARGE_BYTES)})
    shutil.rmtree(home / "checkout", ignore_errors=True)
    table = Table(f"MongoDB, {LARGE} documents of {LARGE_BYTES / 1e6:,.0f} MB", 0)
    table.peak("dump", child("verified", uri, home / "checkout")["peak_mb"])
    spoil(client["thynk"])
    table.peak("restore", child("restore", uri, home / "checkout")["peak_mb"])
    return peaks_judged(table)


def many(client, uri, home, rounds):
    """A database of many small collections: what each of them costs."""
    client.drop_database("thynk")
    for n in range(MANY):
        client["thynk"][f"c{n}"].insert_one({})
    table = Table(f"MongoDB, {MANY} small collections", 0)
    for _ in range(rounds):
        shutil.rmtree(home / "checkout", ignore_errors=True)
        before = requests(client)
        made = child("verified", uri, home / "checkout")
        table.add("backup, verified", made["seconds"])
        table.add("backup, verified: its processor time", made["cpu"])
        asked = (requests(client) - before) / MANY
    table.judge("round trips a collection", asked, most=9)
    return table


def requests(client):
    return client.admin.command("serverStatus")["network"]["numRequests"]


def path_of(live, number):
    return live / f"{number % 100}" / f"{number}.jpg"


def write_files(live, numbers):
    """Write files that no disk can make smaller."""
    pool = random.randbytes(4 * FILE_BYTES)
    for number in numbers:
        begin = random.randrange(3 * FILE_BYTES)
        head = os.urandom(16)
        path_of(live, number).write_bytes(head + pool[begin : begin + FILE_BYTES - len(head)])
    time.sleep(2.1)  # younger files are copied again: their times prove nothing yet


def uploads(home, count, rounds):
    """A first copy, then one file in a hundred changed: ours beside rsync's."""
    checkout, copies = home / "files", home / "rsync"
    live = checkout / "backend/uploads"
    for number in range(100):
        (live / f"{number}").mkdir(parents=True)
    write_files(live, range(count))
    table = Table(f"Uploads, {count:,} files of {count * FILE_BYTES / 1e6:,.0f} MB", 0)
    table.add("first backup, verified", child("uploads", NOWHERE, checkout)["seconds"])
    table.add("first rsync -a", tool(["rsync", "-a", f"{live}/", f"{copies}0"]))
    changed = range(0, count, CHANGED)
    for again in range(1, rounds + 1):
        write_files(live, changed)
        made = child("uploads", NOWHERE, checkout)
        table.add("second backup, made", made["seconds"] - made["read_back"])
        table.add("second backup, verified", made["seconds"])
        table.add("second backup, verified: its processor time", made["cpu"])
        table.peak("backup", made["peak_mb"])
        table.add("bare links", child("bare-links", NOWHERE, checkout)["seconds"])
        shutil.rmtree(checkout / "bare-links")
        link = f"--link-dest={copies}{again - 1}"
        table.add("rsync --link-dest", tool(["rsync", "-a", link, f"{live}/", f"{copies}{again}"]))
        new = new_bytes(checkout / "backups")
        assert new == len(changed) * FILE_BYTES, f"{new} bytes were written anew"
    table.ratio("made to rsync", "rsync --link-dest", "second backup, made", least=2)
    table.ratio("made to bare links", "second backup, made", "bare links")
    table.judge("changed files, in MB", len(changed) * FILE_BYTES / 1e6)
    table.judge("written anew by the second backup, in MB", new / 1e6, most=new / 1e6)
    return peaks_judged(table)


def new_bytes(backups):
    """Return the bytes of files in the newest backup that no other shares."""
    newest = max(path for path in backups.iterdir() if path.name[0] != ".")
    seen = [path.lstat() for path in (newest / "uploads").rglob("*.jpg")]
    return sum(one.st_size for one in seen if one.st_nlink == 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        tables = [uploads(home, max(100, int(20_000 * asked.scale)), asked.rounds)]
        tables += databases(home, max(1_000, int(1_000_000 * asked.scale)), asked.rounds)
    if asked.json:
        print(json.dumps({"load": os.getloadavg(), "tables": [each.plain() for each in tables]}))
    else:
        print(*tables, f"load average: {os.getloadavg()}", sep="\n\n")


if __name__ == "__main__":
    main()
