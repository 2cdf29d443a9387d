"""Where a drill restores to: databases and a folder of our own, beside the live ones.

The danger is to remove what is somebody else's. So each has a fixed name (a person can
grant a user rights on it) *and* a mark, made before anything is put in and removed after
everything else: a collection that names the app, a file that does. What has the name and
not the mark is refused and left as it is. What a killed drill left has both, and goes
before the next one.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bson import BSON, decode

from worker.adapters import files, mongo_guards
from worker.adapters.mongo_server import OURS
from worker.adapters.mongo_writer import Writer
from worker.backups.source import Source
from worker.errors import GuardError

SUFFIX = "_sheetanchor_drill"
LONGEST = 63  # bytes of a database's name
MARK = f"{OURS}drill"  # the collection
FOLDER = ".sheetanchor-drill"  # in the folder of the backups, which lists no such name
NOTE = "drill.json"  # in that folder
VIEWS = "system.views"


def database_name(database: str) -> str:
    """Return the name of the scratch database for a database."""
    if len((database + SUFFIX).encode()) <= LONGEST:
        return database + SUFFIX
    digest = hashlib.sha256(database.encode()).hexdigest()[:8]
    begin = database.encode()[: LONGEST - len(SUFFIX) - len(digest) - 1]
    return f"{begin.decode(errors='ignore')}_{digest}{SUFFIX}"


@dataclass(frozen=True)
class Scratch:
    """The scratch databases and folder of one app."""

    source: Source

    @property
    def folder(self) -> Path:
        """The scratch folder."""
        return self.source.app.backup_dir / FOLDER

    def writers(self) -> Mapping[str, Writer]:
        """Return what writes to each scratch database, by the database it stands for."""
        mongo = self.source.mongo
        return (
            {name: mongo.writer(database_name(name)) for name in mongo.databases} if mongo else {}
        )

    def forbidden(self) -> list[str]:
        """Return, for each database, why a drill will fail there for want of rights. Only asks.

        A drill that runs meanwhile is not disturbed: to try it would be to clean up after it.
        """
        user = self.source.mongo.restores_as if self.source.mongo else None
        errors = [mongo_guards.foreseen(writer, user) for writer in self.writers().values()]
        return [f"A drill will fail: {error}" for error in errors if error]

    def make(self) -> None:
        """Make and mark them, empty. Raises GuardError where the user may not restore there."""
        self.clean()
        app = self.source.app.name
        for writer in self.writers().values():
            user = self.source.mongo.restores_as if self.source.mongo else None
            mongo_guards.check_restorable(writer, user)
            writer.insert(MARK, [BSON.encode({"app": app})])
        self.folder.mkdir(mode=0o700)
        files.write(self.folder / NOTE, json.dumps({"app": app}).encode())

    def clean(self) -> None:
        """Remove them, with all that is in them. Raises GuardError for what is not ours."""
        for writer in self.writers().values():
            self._clean_database(writer)
        self._clean_folder()

    def _clean_database(self, writer: Writer) -> None:
        user = self.source.mongo.restores_as if self.source.mongo else None
        with mongo_guards.looking(writer, user):
            names = writer.names()
        data = [name for name in names if name not in (MARK, VIEWS)]
        if set(names) <= {VIEWS}:
            return
        if not self._is_ours(writer, names, data):
            raise GuardError(
                f"The database {writer.name} is no drill's: it was left as it is.",
                remedy="Give it another name, or drop it: a drill needs that name for itself.",
            )
        for name in data:
            writer.drop(name)
        with suppress(GuardError):  # empty, and not everybody may: the next drill finds it empty
            writer.drop(VIEWS)
        writer.drop(MARK)

    def _is_ours(self, writer: Writer, names: list[str], data: list[str]) -> bool:
        """Return whether the mark is there and names this app, or was just being made."""
        if MARK not in names:  # what a killed check of the rights left is ours, too
            return all(name.startswith(OURS) for name in data)
        marks = b"".join(writer.raw_batches(MARK))
        owner = decode(marks)["app"] if marks else None
        return owner == self.source.app.name or (owner is None and not data)

    def _clean_folder(self) -> None:
        folder = self.folder
        if not folder.is_dir() or folder.is_symlink():
            if folder.exists() or folder.is_symlink():
                raise self._not_ours()
            return
        inside = {path.name for path in folder.iterdir()}
        if inside - {NOTE, f".{NOTE}.new"} and self._owner() != self.source.app.name:
            raise self._not_ours()
        for name in sorted(inside - {NOTE}):
            path = folder / name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (folder / NOTE).unlink(missing_ok=True)
        folder.rmdir()

    def _owner(self) -> str | None:
        try:
            return str(json.loads((self.folder / NOTE).read_bytes())["app"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _not_ours(self) -> GuardError:
        return GuardError(
            f"{self.folder} is no drill's folder of {self.source.app.name}: it was left as it is.",
            remedy="Move it away: a drill needs that name for itself.",
        )
