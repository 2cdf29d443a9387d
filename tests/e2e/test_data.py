import gzip
import json
import threading
import time

import bson

from tests.e2e.world import release, until

MIGRATION = """
db.people.drop()
db.documents.update_many({}, {"$set": {"text": "rewritten"}})
db.documents.create_index("text")
db.added.insert_one({"by": "the new version"})
(uploads / "upload-2.txt").unlink()
(uploads / "upload-3.txt").write_text("overwritten")
(uploads / "folder" / "inner.txt").unlink()
(uploads / "folder").rmdir()
(uploads / "new.txt").write_text("of the new version")
"""


def documents(backup, name):
    """Return the documents of a collection in a backup."""
    files = list(backup["path"].glob(f"mongodb/*/{name}.bson.gz"))
    return bson.decode_all(gzip.decompress(files[0].read_bytes())) if files else None


def of(world, identity, kind):
    return next(b for b in world.backups() if (b["deployment"], b["kind"]) == (identity, kind))


def test_failed_migration_is_undone_byte_for_byte_and_set_aside(running):
    before = running.fingerprint()

    ended = running.wait(
        running.push(
            {"release.json": release("two", mode="never_healthy"), "migration.py": MIGRATION}
        )
    )

    assert ended["status"] == "rolled_back", ended
    assert running.version() == "one"
    assert running.fingerprint() == before
    aside = of(running, ended["id"], "safety")
    assert aside["path"].name == ended["safety_backup"]
    assert {d["text"] for d in documents(aside, "documents")} == {"rewritten"}
    assert len(documents(aside, "added")) == 1
    assert documents(aside, "people") is None
    saved = aside["path"] / "uploads" / "uploads"
    assert (saved / "new.txt").read_text() == "of the new version"
    assert (saved / "upload-3.txt").read_text() == "overwritten"
    assert not (saved / "upload-2.txt").exists()


def test_plain_restore_after_an_undone_push_takes_no_safety_backup(running):
    """The newest backup holds what the bad version wrote: to be named, never to be guessed."""
    before = running.fingerprint()
    ill = {"release.json": release("two", mode="never_healthy"), "migration.py": MIGRATION}
    ended = running.wait(running.push(ill))
    assert ended["safety_backup"], ended

    running.cli("restore", running.name, "--yes", check=0)

    assert running.fingerprint() == before


def test_damaged_backup_is_refused_before_anything_is_stopped_for_it(running):
    damaged = running.backups()[-1]["path"]
    saved = damaged / "config" / ".env.production"
    saved.write_bytes(saved.read_bytes()[:-1] + b"!")
    before, ids = running.fingerprint(), running.compose("ps", "-q").stdout

    refused = running.cli_json("restore", running.name, damaged.name, "--yes", check=1)

    assert (refused["status"], refused["error"]["step"]) == ("failed", "preflight")
    assert "is damaged" in refused["error"]["message"]
    assert running.fingerprint() == before
    assert running.compose("ps", "-q").stdout == ids
    assert running.version() == "one"


LONG_UPDATE = """
import threading, time
def work():
    db.big.update_many({}, [{"$set": {"by": "%s", "x": {"$function": {
        "body": "function(n) { for (var i = 0; i < 3000; i++) {} return n }",
        "args": ["$n"], "lang": "js"}}}}])
threading.Thread(target=work, daemon=True).start()
time.sleep(%s)
"""


def busy(world):
    found = world.db.client.admin.command({"currentOp": 1, "ns": f"{world.name}.big"})
    return bool(found["inprog"])


def test_update_of_the_old_version_in_flight_at_the_fence_is_kept_whole(world):
    world.commit({"migration.py": LONG_UPDATE % ("cron", 0)})
    world.prepare()
    world.db.big.insert_many([{"n": n} for n in range(4_000)])
    world.up()
    world.wait(world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"])
    until(lambda: not busy(world), "the first update is over")
    world.db.big.update_many({}, {"$unset": {"by": 1, "x": 1}})
    identity = world.push({"release.json": release("two", mode="exits"), "migration.py": None})
    world.wait_for_step(identity, "build")
    world.db.command("ping")
    threading.Thread(target=world.restart_app, daemon=True).start()
    until(lambda: busy(world), "the old version's update runs")

    ended = world.wait(identity)

    assert ended["status"] == "rolled_back", ended
    until(lambda: not busy(world), "no update runs")
    assert world.db.big.count_documents({"by": "cron"}) == 4_000


def test_migration_in_flight_when_it_is_stopped_leaves_nothing_behind(running):
    running.db.big.insert_many([{"n": n} for n in range(4_000)])
    before = running.fingerprint()
    dying = LONG_UPDATE % ("migration", 1.5) + "\nimport os; os._exit(1)\n"

    ended = running.wait(
        running.push(
            {
                "release.json": release("two", mode="exits"),
                "migration.py": dying + "\nimport os; os._exit(1)\n",
            }
        )
    )

    assert ended["status"] == "rolled_back", ended
    assert running.fingerprint() == before
    time.sleep(2)
    assert running.db.big.count_documents({"by": "migration"}) == 0


def test_only_what_differs_is_read_linked_and_restored(running):
    """300 MB that nobody touched keep their UUID, their inodes and their place on disk."""
    blob = "x" * 30_000
    for start in range(0, 10_000, 500):
        running.db.large.insert_many([{"n": n, "blob": blob} for n in range(start, start + 500)])
    uuid = running.db.command("listCollections", filter={"name": "large"})
    inode = (running.uploads / "upload-4.txt").stat().st_ino
    before = running.fingerprint()

    ended = running.wait(
        running.push(
            {
                "release.json": release("two", mode="never_healthy"),
                "migration.py": "db.people.delete_many({})\n"
                "(uploads / 'upload-0.txt').write_text('changed')\n",
            }
        )
    )

    assert ended["status"] == "rolled_back", ended
    assert running.fingerprint() == before
    again = running.db.command("listCollections", filter={"name": "large"})
    assert (
        again["cursor"]["firstBatch"][0]["info"]["uuid"]
        == uuid["cursor"]["firstBatch"][0]["info"]["uuid"]
    )
    assert (running.uploads / "upload-4.txt").stat().st_ino == inode
    first, fence = (of(running, ended["id"], kind) for kind in ("pre-deploy", "fence"))
    paths = [next(b["path"].glob("mongodb/*/large.bson.gz")) for b in (first, fence)]
    assert paths[0].stat().st_ino == paths[1].stat().st_ino


def shrinking(name):
    """Return a migration that loses half of a collection."""
    return (
        f"keep = db.{name}.count_documents({{}}) // 2\n"
        f"for d in list(db.{name}.find().limit(keep)): db.{name}.delete_one({{'_id': d['_id']}})\n"
    )


def test_half_lost_collection_trips_the_wire(running):
    running.db.big.insert_many([{"n": n} for n in range(1000)])
    before = running.fingerprint()

    ended = running.wait(
        running.push({"release.json": release("two"), "migration.py": shrinking("big")})
    )

    assert ended["status"] == "rolled_back", ended
    assert "big" in ended["error"]["message"]
    assert running.fingerprint() == before


def test_expiring_and_tiny_collections_do_not_trip_the_wire(running):
    running.db.sessions.create_index("at", expireAfterSeconds=3600)
    running.db.sessions.insert_many([{"n": n} for n in range(1000)])
    running.db.tiny.insert_many([{"n": n} for n in range(3)])

    ended = running.wait(
        running.push(
            {
                "release.json": release("two"),
                "migration.py": shrinking("sessions") + "db.tiny.delete_many({})\n",
            }
        )
    )

    assert ended["status"] == "succeeded", ended


def test_force_waives_the_tripwire(running):
    running.db.big.insert_many([{"n": n} for n in range(1000)])
    running.commit({"release.json": release("two"), "migration.py": shrinking("big")})

    running.cli("deploy", running.name, "--force", check=0)

    assert running.db.big.count_documents({}) == 500


def test_nothing_acknowledged_before_the_fence_is_lost(running):
    """Writers go on until the old version is stopped; all that it said yes to is there."""
    acknowledged, stop = [], threading.Event()

    def write(worker):
        n = 0
        while not stop.is_set():
            n += 1
            name = f"{worker}-{n}"
            body = json.dumps({"name": name, "n": name}).encode()  # n is unique
            if running.post("/documents", body):
                acknowledged.append(("document", name))
            if running.post(f"/files/{name}", b"x"):
                acknowledged.append(("file", name))

    writers = [threading.Thread(target=write, args=(w,)) for w in range(3)]
    for writer in writers:
        writer.start()
    identity = running.push({"release.json": release("two", mode="exits")})
    running.wait_for_step(identity, "switch")
    stop.set()
    ended = running.wait(identity)
    for writer in writers:
        writer.join()

    assert ended["status"] == "rolled_back", ended
    assert len(acknowledged) > 100
    there = {d["name"] for d in running.db.documents.find({"name": {"$exists": True}})}
    lost = [n for kind, n in acknowledged if kind == "document" and n not in there]
    lost += [n for kind, n in acknowledged if kind == "file" and not (running.uploads / n).exists()]
    assert lost == []


def test_way_back_that_could_not_restore_says_what_does_and_it_is_so(running):
    """The data is the bad version's then: `resume` would keep that, and back it up next."""
    before = running.fingerprint()
    dies = MIGRATION + "raise SystemExit('half done')\n"
    ill = {"release.json": release("two"), "migration.py": dies}
    identity = running.push(ill)
    running.wait_for_step(identity, "health")
    fence = of(running, identity, "fence")["path"]
    saved = fence / "uploads" / "uploads" / "upload-2.txt"
    content = saved.read_bytes()
    saved.write_bytes(b"damaged!")

    ended = running.wait(identity)

    assert ended["status"] == "inconsistent", ended
    command = f"sheetanchor restore {running.name} {fence.name}`"
    assert command in ended["error"]["remedy"]
    assert command in running.cli_json("status", running.name)["hold"]["reason"]
    assert command in running.cli_json("plan", running.name)["remedy"]
    assert command in running.cli("resume", running.name, check=2).stderr
    saved.write_bytes(content)
    running.cli("restore", running.name, fence.name, "--yes", check=0)
    assert running.version() == "one"
    assert running.fingerprint() == before
    assert running.cli_json("status", running.name)["hold"] is None
