"""One fault in one step of a deployment: what the matrix's cells have in common.

A deployment from the command line stands still at a point; the fault begins; it goes on.
The fault lasts until the deployment has ended, or says that it waits for somebody.
"""

import json
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

from tests.e2e import checker, history
from tests.e2e.points import Points
from tests.e2e.world import HERE, TOP, release, until

EXHAUSTIVE = bool(os.environ.get("SHEETANCHOR_EXHAUSTIVE"))
FORWARD = ("preflight", "backup", "pull", "build", "fence", "switch", "health", "commit")
BACK = ("halt", "safety", "restore", "checkout", "switch", "health")
MIGRATION = """
db.documents.update_many({}, {"$set": {"text": "rewritten"}})
(uploads / "upload-2.txt").unlink(missing_ok=True)
(uploads / "new.txt").write_text("new")
"""
BAD = {"migration.py": f"{MIGRATION}raise SystemExit(9)\n"}
GOOD = {"migration.py": ""}
# But for those that a wait, a clock that is set, and an end for a person are no fault of.
RULES = (
    history.ends_once,
    history.intent_first,
    history.in_plan_order,
    history.backup_before_change,
    history.restored_over_a_safety_backup,
    history.no_return_after_the_commit,
    history.told_as_it_was,
)
SHORT = {
    "worker.adapters.engine.TIMEOUT": 10,
    "worker.adapters.mongo.FOUND_WITHIN": 2_000,
    "worker.adapters.mongo.ANSWERS_WITHIN": 4_000,
    "worker.adapters.mongo.BUILDS_WITHIN": 8_000,
    "worker.adapters.compose.UP": 45.0,
    "worker.adapters.compose.BUILD": 45.0,
    "worker.pipeline.PATIENCE": 240.0,
}


def named(rows):
    """Return pytest's ids of cells: `halt-waits`."""
    return ["-".join(row) for row in rows]


def cells(name, ci, all_of_them):
    """Return the cells to do, and print how many of how many these are."""
    chosen = [row for row in all_of_them if EXHAUSTIVE or row in ci]
    assert EXHAUSTIVE or len(chosen) == len(ci), f"{name}: a cell of CI is none of the row's"
    print(f"{name}: {len(chosen)} of {len(all_of_them)} cells")
    return chosen


def only_exhaustive(test):
    """Let a test be one of those that `SHEETANCHOR_EXHAUSTIVE=1` adds."""
    return test if EXHAUSTIVE else None


class Bench:
    """A world without Redis, web and worker, and the deployments that are made to fail in it."""

    def __init__(self, world, **env):
        self.world, self.points = world, Points(world.home / "points")
        self.env = env
        self.count = 0
        world.prepare()
        world.cli("deploy", world.name, check=0)
        world.fill()

    def start(self, files, *argv, limits=SHORT, **env):
        """Push files and start a deployment of them; return its process."""
        self.count += 1
        self.version = f"version {self.count}"
        self.world.commit({**files, "release.json": release(self.version)})
        paths = os.pathsep.join(map(str, (HERE / "limits", TOP)))
        mine = {"PYTHONPATH": paths, "SHORT_LIMITS": json.dumps(limits), **self.env, **env}
        self.before, self.was = self.world.fingerprint(), self.world.version()
        options = {"env": self.points.env | mine}
        return self.world.start("deploy", self.world.name, *argv, **options)

    def at(self, phase, step, fault, *, files=None, lasts=False, until_at=None, **options):
        """Return how a deployment ends that meets a fault once a step's intent is on disk.

        `fault` is a context manager's maker; with `lasts` it outlasts the deployment, with
        `until_at` it is over when the deployment comes to that point.
        """
        point = f"{phase}.{step}.after_intent"
        for one in filter(None, (point, until_at)):
            self.points.hold(one)
        child = self.start(files or (BAD if phase == "way_back" else GOOD), **options)
        try:
            until(lambda: self.points.standing(point) or child.poll() is not None, point, 180)
            assert self.points.standing(point), f"it ended with {child.poll()} before {point}"
            with fault():
                self.points.release(point)
                over = self._ended if lasts or until_at else self._ended_or_waits
                until(lambda: over(child) or self._stands(until_at), f"over, from {point}", 400)
            self.points.forget()
            until(lambda: self._ended(child), f"it ends after {point}", 300)
        finally:
            self.points.forget()
        return self.newest()

    def _stands(self, point):
        return point and self.points.standing(point)

    def newest(self):
        """Return the newest deployment."""
        return self.world.deployment(max(self.journals().glob("*.jsonl")).stem)

    def journals(self):
        return self.world.state / "apps" / self.world.name / "journal"

    def _ended(self, child):
        return child.poll() is not None

    def _ended_or_waits(self, child):
        logs = self.journals().with_name("logs")
        newest = logs / f"{max(self.journals().glob('*.jsonl')).stem}.log"
        waits = newest.exists() and " waiting: " in newest.read_text()
        return waits or self._ended(child)

    def is_old(self, ended, *words, status="rolled_back", decided=False):
        """Nothing is lost: what ran before runs, with its data."""
        world = self.world
        assert ended["status"] == status, ended
        said = f"{ended['error']['message']} {ended['error']['remedy']}"
        assert [word for word in words if word not in said] == [], said
        until(lambda: world.version() == self.was, "the old version answers")
        assert world.fingerprint() == self.before
        assert self.is_put_off(ended) is not decided, world.decisions.read()
        self.is_tidy()

    def is_undecided(self, ended, *words):
        """Q: nothing has changed, and the head is tried again later."""
        self.is_old(ended, *words, status="failed")

    def is_new(self, ended):
        """N: the new version runs, and its data is what it left."""
        assert ended["status"] == "succeeded", ended
        until(lambda: self.world.version() == self.version, "the new version answers")
        before, now = self.before, self.world.fingerprint()
        assert (now["uploads"], now["database"]) == (before["uploads"], before["database"])
        self.is_tidy()

    def bears(self, phase, step, fault, *, not_asked, undecided, words):
        """A server that is away in this step is waited for, or decides nothing."""
        asked = phase == "way_back" or step not in not_asked
        until_at = None if asked else f"deploy.{step}.after_effect"  # it is back before it is
        ended = self.at(phase, step, fault, until_at=until_at)
        if not asked:
            self.is_new(ended)
        elif phase == "way_back":  # of a version that was bad whoever was away later
            self.is_old(ended, decided=True)
        elif step in undecided:
            self.is_undecided(ended, words)
        else:
            self.is_old(ended, words)

    def is_put_off(self, ended):
        return (self.world.decisions.read()["put_off"] or {}).get("deployment") == ended["id"]

    def is_tidy(self):
        """All is at rest, nothing is held, and the app comes back after a reboot."""
        checker.check(self.world, rules=RULES)
        assert self.world.policy() == "unless-stopped"
        assert self.world.cli_json("status", self.world.name)["hold"] is None


class DockerProxy:
    """A Docker that a test may freeze or close: a socket in front of the real one."""

    def __init__(self, path, real="/var/run/docker.sock"):
        self.path, self.real = path, real
        self.going = threading.Event()
        self.going.set()
        self.open()

    @property
    def url(self):
        return f"unix://{self.path}"

    def open(self):
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._pairs = []
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def close(self):
        """As a daemon that is gone: nobody listens, and no connection is left."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        Path(self.path).unlink()
        for one in self._pairs:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _serve(self, listener):
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client):
        self.going.wait()
        daemon = socket.socket(socket.AF_UNIX)
        daemon.connect(self.real)
        self._pairs += [client, daemon]
        back = threading.Thread(target=self._carry, args=(daemon, client), daemon=True)
        back.start()
        self._carry(client, daemon)
        back.join()
        client.close()
        daemon.close()

    def _carry(self, source, target):
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self.going.wait()
                target.sendall(data)
            self.going.wait()
            target.shutdown(socket.SHUT_WR)
