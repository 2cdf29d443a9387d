"""Reads an app's databases so that all of them are of one moment, or says why they are not.

A replica set reads at one cluster time. What spoils that (a collection dropped or made
anew, a time that the server no longer keeps) has the whole dump made again, three times
at most; then it is made as on a standalone, and told.
"""

from dataclasses import replace

from worker.adapters.files_tree import Tree
from worker.backups.at_one_time import AtOneTime
from worker.backups.counted import Counted
from worker.backups.dump import Dump, Dumped
from worker.errors import MomentError

TRIES = 3  # dumps at one cluster time


def dump_all(dump: Dump, tree: Tree) -> Dumped:
    """Write all databases into a backup's folder. Raises BackupError."""
    if not dump.mongo.server().snapshots:
        return Counted(dump, tree).run()
    why = "no collection can be read at a cluster time"
    for count in range(TRIES):
        there = dump.collections()
        first = next((one for one in there if one.type != "view" and not one.capped), None)
        if first is None:
            return Counted(dump, tree).run()
        try:
            return AtOneTime(dump, tree, last=count == TRIES - 1).run(there, first)
        except MomentError as error:
            why = error.message.rstrip(".")
            dump.report(f"not of one moment: {why}; all is read again ({count + 1} of {TRIES})")
    made = Counted(dump, tree).run()
    return made if made.one_moment else replace(made, why=f"{why}, {TRIES} times; {made.why}")
