"""Starts mongods, and builds an app's data with what a deployment does with it."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from pymongo import MongoClient

from worker.adapters.mongo import Mongo
from worker.backups.make import make
from worker.backups.restore import restore
from worker.backups.source import Source
from worker.clock import SystemClock
from worker.config import App, Data

CACHED = Path("~/.cache/sheetanchor/mongod/bin/mongod").expanduser()


def mongod_path():
    found = os.environ.get("SHEETANCHOR_MONGOD") or shutil.which("mongod") or CACHED
    assert Path(found).exists(), f"no mongod: run deploy/provision ({found})"
    return str(found)


def free_port(address="127.0.0.1"):
    with socket.socket() as listener:
        listener.bind((address, 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running_mongod(home, *options, address="127.0.0.1"):
    port = free_port(address)
    argv = [mongod_path(), "--dbpath", str(home), "--port", str(port), "--bind_ip", address]
    argv += ["--logpath", str(home / "log"), "--wiredTigerCacheSizeGB", "0.5", "--nounixsocket"]
    argv += ["--setParameter", "diagnosticDataCollectionEnabled=false", *options]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        uri = f"mongodb://{address}:{port}/?directConnection=true"
        with MongoClient(uri, serverSelectionTimeoutMS=20_000) as client:
            client.admin.command("ping")
            if "--replSet" in options:
                # advertised as containers reach it, as on a host with Docker
                member = {"_id": 0, "host": f"127.0.0.1:{port}"}
                client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
                until(lambda: client.admin.command("hello")["isWritablePrimary"])
            yield port
    finally:
        process.kill()
        process.wait()


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


@dataclass(frozen=True)
class Thynk:
    """An app's data where it lives, and what a deployment does with it."""

    client: MongoClient
    mongo: Mongo
    source: Source
    checkout: Path

    @property
    def db(self):
        return self.client["thynk"]

    @property
    def uploads(self):
        return self.checkout / "backend/uploads"

    @property
    def env(self):
        return self.checkout / ".env.production.local"

    def backup(self, kind="manual", previous=None, **asked):
        wanted = {"deployment": None, "revision": "0" * 40, "images": {}, "why": "a test"}
        wanted |= {"report": lambda _: None, **asked}
        return make(self.source, kind=kind, previous=previous, **wanted)

    def restore(self, backup, **asked):
        return restore(self.source, backup, **{"report": lambda _: None, **asked})

    def without_mongo(self):
        return replace(self, source=replace(self.source, mongo=None))


@contextlib.contextmanager
def thynk_on(uri, checkout):
    uploads = checkout / "backend/uploads"
    uploads.mkdir(parents=True)
    (uploads / ".gitkeep").touch()
    (uploads / "photo.jpg").write_bytes(b"\xff\xd8" * 5000)
    env = checkout / ".env.production.local"
    env.write_text("SECRET=one\n")
    env.chmod(0o600)
    app = App(
        name="thynk",
        repository="example/english-chat",
        checkout=checkout,
        webhook_secret_file=Path("/nowhere"),
        env_file=env.name,
        data=Data(uploads=("backend/uploads",)),
    )
    any_date = MongoClient(uri, datetime_conversion="DATETIME_AUTO")
    with any_date as client, Mongo.connect(uri, ("thynk",)) as mongo:
        client.drop_database("thynk")
        source = Source(app=app, mongo=mongo, clock=SystemClock(), config_files=(env,))
        yield Thynk(client, mongo, source, checkout)
        client.drop_database("thynk")


def fingerprint(db):
    """Return all that must come back: hashes of the server's own, options and indexes.

    Not through `list_collections`: it decodes with defaults that know no far dates.
    """
    hashes = dict(db.command("dbHash")["collections"])
    hashes.pop("system.views", None)
    answer = db.command(
        "listCollections", cursor={"batchSize": 1000}, codec_options=db.codec_options
    )
    listed = {each["name"]: each for each in answer["cursor"]["firstBatch"]}
    shape = {
        name: (each["type"], repr(each["options"]), each.get("idIndex"))
        for name, each in listed.items()
        if name != "system.views"
    }
    indexes = {
        name: sorted(repr(index) for index in db[name].list_indexes())
        for name, each in listed.items()
        if each["type"] != "view" and not name.startswith("system.")
    }
    return hashes, shape, indexes


def uuids(db):
    return {name: bytes(uuid) for name, uuid in db.command("dbHash")["uuids"].items()}


def tree(top):
    """Return a folder's content with modes, owners, times and links."""
    found = {}
    for path in [top, *sorted(top.rglob("*"))]:
        seen = path.lstat()
        if path.is_symlink():
            content = str(path.readlink())
        else:
            content = path.read_bytes() if path.is_file() else None
        key = os.fsencode(path.relative_to(top))
        # a link's own mode means nothing, and a folder's size is the file system's business
        mode = None if path.is_symlink() else seen.st_mode
        found[key] = (content, mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns)
    return found
