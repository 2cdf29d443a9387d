"""Makes and restores backups in children that strace kills at their nth durable write.

dying.py URI CHECKOUT, under `strace --inject=…:signal=KILL:when=BURNT`, which counts for each
process and each kind of call. So a line `backup fsync 3` has a child call fsync BURNT - 3
times for nothing before it begins. It answers `killed` or `ended`, then the next line.
"""

import contextlib
import os
import socket
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from worker.adapters import files
from worker.adapters.mongo import Mongo
from worker.backups import catalogue, load, place
from worker.backups.builds import Builds
from worker.backups.make import make
from worker.backups.restore import restore
from worker.backups.source import Source
from worker.clock import SystemClock
from worker.config import App, Data

BURNT = 400
KINDS = ("fsync", "rename", "renameat", "sendto")


class InTurn:
    """An executor of one thread, the caller's: strace counts for each thread."""

    def __init__(self, _):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    map = staticmethod(map)


class BuildsInTurn(Builds):
    """Builds indexes in the caller's thread, for the same reason."""

    def add(self, name, entry):
        self._build(name, entry)


def burn(kind, times):
    here, there = socket.socketpair()
    folder = os.open("/", os.O_RDONLY)
    calls = {
        "fsync": lambda: os.fsync(folder),
        "rename": lambda: os.rename("/nonexistent/a", "/nonexistent/b"),
        "renameat": lambda: os.rename("nonexistent/a", "b", src_dir_fd=folder, dst_dir_fd=folder),
        "sendto": lambda: (here.send(b"x"), there.recv(1)),
    }
    for _ in range(times):
        with contextlib.suppress(FileNotFoundError):
            calls[kind]()


def act(uri, checkout, what):
    env = checkout / ".env.production.local"
    app = App(
        name="thynk",
        repository="example/english-chat",
        checkout=checkout,
        webhook_secret_file=Path("/nowhere"),
        env_file=env.name,
        data=Data(uploads=("backend/uploads",)),
    )
    mongo = Mongo.connect(uri, ("thynk",))
    source = Source(app=app, mongo=mongo, clock=SystemClock(), config_files=(env,))
    newest = catalogue.find(app.backup_dir, "thynk")
    if what == "restore":
        restore(source, newest, report=len)
    else:
        asked = {"deployment": None, "revision": None, "images": {}, "why": "a test"}
        make(source, kind="manual", previous=newest, report=len, **asked)


def main(uri, checkout):
    files.ThreadPoolExecutor = place.ThreadPoolExecutor = InTurn
    load.Builds = BuildsInTurn
    for line in sys.stdin:
        what, kind, number = line.split()
        child = os.fork()
        if not child:
            code = 1
            try:
                burn(kind, BURNT - int(number))
                act(uri, checkout, what)
                code = 0
            except BaseException:  # noqa: BLE001 - a child must not go on as its parent
                traceback.print_exc()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else f"ended {status}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
