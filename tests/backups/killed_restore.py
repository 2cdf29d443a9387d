"""Restores a backup and dies by SIGKILL just before the nth call of a method.

killed_restore.py URI CHECKOUT BACKUP-ID Writer.swap_in:2
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from worker.adapters.files_tree import Tree
from worker.adapters.mongo import Mongo
from worker.adapters.mongo_writer import Writer
from worker.backups import catalogue
from worker.backups.restore import restore
from worker.backups.source import Source
from worker.clock import SystemClock
from worker.config import App, Data


def die_at(place):
    name, number = place.split(":")
    owner, method = name.split(".")
    kind = {"Writer": Writer, "Tree": Tree}[owner]
    original, calls = getattr(kind, method), []

    def deadly(self, *args, **named):
        calls.append(args)
        if len(calls) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *args, **named)

    setattr(kind, method, deadly)


uri, checkout, backup_id, place = sys.argv[1:]
env = Path(checkout) / ".env.production.local"
app = App(
    name="thynk",
    repository="example/english-chat",
    checkout=Path(checkout),
    webhook_secret_file=Path("/nowhere"),
    env_file=env.name,
    data=Data(uploads=("backend/uploads",)),
)
mongo = Mongo.connect(uri, ("thynk",))
source = Source(app=app, mongo=mongo, clock=SystemClock(), config_files=(env,))
backup = catalogue.find(app.backup_dir, "thynk", backup_id)
die_at(place)
restore(source, backup, report=lambda _: None)
mongo.close()
