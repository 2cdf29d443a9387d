"""A world whose processes are killed at points, again and again: kill, recover, check, next.

Only another `sheetanchor worker` repairs. What is under way meanwhile is in `tests.e2e.kinds`.
"""

import json
import subprocess
import time
from typing import NamedTuple

from tests.e2e import checker
from tests.e2e.kinds import differences
from tests.e2e.points import Points, is_gone, kill, waited
from tests.e2e.world import HERE, TOP, World, release, until
from worker import lock
from worker.clock import SystemClock, parse

# Without health checks of Docker's, so that a deployment takes no longer than its steps.
COMPOSE = """
services:
  web:
    build: .
    restart: unless-stopped
    stop_grace_period: 1s
    environment: {MONGODB_URI: "${MONGODB_URI}", API_KEY: "${API_KEY}"}
    ports: ["127.0.0.1:${PORT}:8000"]
    extra_hosts: ["host.docker.internal:host-gateway"]
    volumes: ["./uploads:/app/uploads"]
"""
# Each version leaves its mark in the data when it starts.
MARKS = """
import json, os, pathlib
version = json.loads(pathlib.Path("/app/release.json").read_text())["version"]
db.marks.replace_one({"_id": 1}, {"_id": 1, "version": version}, upsert=True)
(uploads / "mark.txt").write_text(version)
"""
# A bad one spoils the data, says a secret, and ends.
ENDS = """
db.documents.update_many({}, {"$set": {"text": "rewritten"}})
db.added.insert_one({"by": "the new version"})
(uploads / "upload-2.txt").unlink(missing_ok=True)
(uploads / "new.txt").write_text("new")
print(os.environ["API_KEY"], flush=True)
raise SystemExit(9)
"""
NO_BUILD = "FROM sheetanchor-base:1\nRUN exit 7\n"
SECRET = "a-secret-of-the-app-7f3a9c"
WITH_WORKER = ("worker", "redis")  # victims whose death is the worker's, too


class Brought(NamedTuple):
    """A release that has run."""

    id: str
    version: str


class Arena:
    """Its processes and points, and what its app has been through."""

    def __init__(self, home, mongod):
        self.world = World(home, mongod, backup={"keep": 3})
        self.points = Points(home / "points")
        self.number = 0
        self.backup = None
        self.releases = []  # the one that ran before, and the one that runs
        self.took = []  # seconds from a kill to the first word of who repairs
        self.redis_url = f"unix://{home / 'r.sock'}"
        self.releases_folder = self.world.state / "apps" / self.world.name / "releases"

    def begin(self):
        """Bring all up, with two versions deployed, one after the other, and data."""
        world = self.world
        world.commit({"docker-compose.yml": COMPOSE})
        world.prepare()
        with (world.checkout / ".env.production").open("a") as env:
            env.write(f"API_KEY={SECRET}\n")
        with world.config.open("a") as config:
            config.write(f"\n[apps.{world.name}.rollback]\nkeep_releases = 1000\n")
        world.start_redis()
        world.start("webhook")
        self.start_worker()
        until(lambda: world.ask("GET", "/readyz")[0] == 200, "ready")
        self._deploy()
        world.fill()
        self._deploy()

    def _deploy(self):
        before = self.world.fingerprint()
        ended = self.world.wait(self.world.push(self.files()))
        assert ended["status"] == "succeeded", ended
        self.brought(ended["id"], self.version, before)

    def start_worker(self):
        self.worker = self.world.start("worker", env=self.points.env)

    # --- the app

    @property
    def version(self):
        """The newest version's name."""
        return f"v{self.number}"

    def files(self, *, bad=False, builds=True):
        """Return the files of a new version."""
        self.number += 1
        return {
            "release.json": release(self.version),
            "migration.py": MARKS + (ENDS if bad else ""),
            "Dockerfile": (HERE / "app" / "Dockerfile").read_text() if builds else NO_BUILD,
        }

    def brought(self, identity, version, before):
        """Remember that a release has come, and the data just before."""
        self.releases = [*self.releases[-1:], Brought(identity, version)]
        self.fenced = {part: before[part] for part in ("uploads", "database")}

    def spoil(self):
        """Write as users do."""
        self.world.db.documents.insert_one({"n": time.time_ns(), "text": "written later"})
        (self.world.uploads / "upload-3.txt").write_text(f"written at {time.time_ns()}")

    def back_up_once(self):
        if self.backup is None:
            self.backup = self.world.cli_json("backup", self.world.name)["id"]
            found = self.world.fingerprint()
            self.backed_up = {part: found[part] for part in ("uploads", "database")}

    # --- the kill

    def by_hand(self, *argv):
        """Start a command that deploys; return the deployment's id, once it stands or is begun."""
        self.hand = self.world.start(*argv, env=self.points.env)
        return until(self._begun_by_hand, f"{argv} begins", 120)

    def _begun_by_hand(self):
        for path in (self.world.state / "apps" / self.world.name / "journal").glob("*.jsonl"):
            if f'"pid":{self.hand.pid},' in path.read_text():
                return path.stem
        assert self.hand.poll() is None, "it ended before it began"
        return None

    def run(self, command):
        """Start a program beside the others."""
        with (self.world.home / f"run-{len(self.world.processes)}.log").open("w") as log:
            child = subprocess.Popen(command, cwd=TOP, stdout=log, stderr=log)
        self.world.processes.append(child)
        return child

    def stand(self, *points):
        """Wait until somebody stands at the last point, killing who stands at those before."""
        for point in points[:-1]:
            kill(self.points.wait(point))
        return self.points.wait(points[-1])

    def kill(self, victim, standing):
        """Kill who stands at a point, and who dies with it; start again what is not repaired."""
        dead = time.time()
        if victim in WITH_WORKER:
            kill(self.worker.pid)
            waited(self.worker)
            until(lambda: is_gone(standing), "the job dies with its worker")
        else:
            kill(standing)
        if victim == "redis":
            self._restart_redis()
        if victim in WITH_WORKER:
            dead = time.time()
            self.start_worker()
        return dead

    def _restart_redis(self):
        redis, socket = self.world.redis, self.world.home / "r.sock"
        redis.kill()
        waited(redis)
        socket.unlink(missing_ok=True)
        self.world.redis = subprocess.Popen(redis.args, stdout=subprocess.DEVNULL)
        self.world.processes.append(self.world.redis)
        until(socket.exists, "Redis listens")

    # --- what follows

    def ready(self):
        """Have nobody who stands anywhere, and a worker that deploys no head by itself."""
        self.points.forget()
        log = self.world.home / f"worker-{self.world.processes.index(self.worker)}.log"
        until(lambda: "remote.looked" in log.read_text(), "the worker has looked", 120)

    def cell(self, kind, point, victim):
        """Kill one at a point, and judge what became of it all."""
        self.ready()
        kind.prepare(self)
        before = self.world.fingerprint()
        for one in (*kind.first, point):
            self.points.hold(one)
        identity = kind.begin(self, by_hand=victim == "hand")
        standing = self.stand(*kind.first, point)
        argv = list(checker.secrets_in_argv(checker.secrets_of(self.world)))

        dead = self.kill(victim, standing)

        status = self.ends(identity, kind.end(point), by_hand=victim == "hand")
        self._note_how_soon(identity, dead)
        after = self.world.fingerprint()
        if status == "succeeded":
            wrong = [*argv, *kind.strange(self, identity, before, after)]
            kind.note(self, identity, before)
        else:
            wrong = [*argv, *differences(before, after)]
        assert wrong + list(kind.undecided(self, status) if self.records(identity) else ()) == []
        self.check()

    def ends(self, identity, wanted, *, by_hand):
        """Wait for the deployment's end; one that had not begun runs later, unless by hand."""
        if wanted is None and by_hand:
            until(lambda: not self.records(identity), "its journal is gone")
            return "forgotten"
        ended = self.world.wait(identity)
        assert ended["status"] == (wanted or "succeeded"), ended
        return ended["status"]

    def records(self, identity):
        """Return a deployment's journal."""
        path = self.world.state / "apps" / self.world.name / "journal" / f"{identity}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def died_before(self, identity, times):
        """Have the journal say that others died in the step that runs now."""
        last = self.records(identity)[-1]
        path = self.world.state / "apps" / self.world.name / "journal" / f"{identity}.jsonl"
        with path.open("a") as journal:
            for pid in range(times):
                journal.write(json.dumps(last | {"pid": -pid}) + "\n")

    def _note_how_soon(self, identity, dead):
        times = [parse(one["time"]).timestamp() for one in self.records(identity)]
        self.took += [time - dead for time in times if time > dead][:1]

    def check(self):
        """Have the checker look; then let no look at the remote bring the head by itself."""
        checker.check(self.world, url=self.redis_url)
        home = self.world.state / "apps" / self.world.name
        with lock.waited_for(home / "lock", "a test", SystemClock(), 60):
            decisions = self.world.decisions
            if put_off := decisions.read()["put_off"]:
                head = put_off["revision"] or self.world.git("rev-parse", "HEAD")
                decisions.decide(head, "failed", None, put_off["at"], "a test goes on")

    def close(self):
        self.world.close()
