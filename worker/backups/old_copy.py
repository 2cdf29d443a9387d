"""Writes what an old backup holds into a folder of ours, with a manifest.

The danger is to take what is not the app's: only the databases, uploads and env file that
the configuration names are copied, and what is left out is said in the warnings.
"""

import tarfile
from pathlib import Path
from typing import IO

from worker.adapters import files
from worker.adapters.files import closing
from worker.adapters.files_tree import Tree
from worker.adapters.mongo_format import collection_name, from_json, to_json
from worker.adapters.mongo_server import Collection
from worker.backups import archive, old, old_places, stream
from worker.backups.catalogue import PARTIAL
from worker.backups.entries import entry_of, with_documents, write_metadata
from worker.backups.file_entries import as_stored
from worker.backups.file_list import FileEntry
from worker.backups.manifest import FORMAT, CollectionEntry, Manifest
from worker.backups.old import Contents, Old
from worker.backups.source import Source
from worker.clock import rfc3339
from worker.errors import BackupError

KINDS = {tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "link"}


class Copy:
    """Writes what an old backup holds into a folder of ours."""

    def __init__(self, source: Source, found: Old, contents: Contents, folder: Path) -> None:
        self._source = source
        self._old = found
        self._contents = contents
        self._folder = folder
        self._entries: dict[str, FileEntry] = {}
        self._warnings: list[str] = []

    def manifest(self, why: str) -> Manifest:
        """Copy everything; return what it came to."""
        app = self._source.app
        with Tree(self._folder) as tree:
            databases = self._databases(tree)
            roots = self._uploads(tree) if self._old.uploads else []
            for path in self._old.env_files:
                self._env(tree, path)
        kept = [self._entries[path] for path in sorted(self._entries)]
        documents = sum(one.bytes for all_ in databases.values() for one in all_.values())
        return Manifest(
            format=FORMAT,
            app=app.name,
            id=self._folder.name.removeprefix(PARTIAL),
            kind=old.KIND,
            why=why,
            deployment=None,
            revision=None,
            images={},
            created_at=rfc3339(self._old.made_at),
            finished_at=rfc3339(self._source.clock.now()),
            verified_at=None,
            one_moment=False,
            one_moment_why="nobody noted it",
            made_with={},
            server={},
            databases=databases,
            uploads=roots,
            files=kept,
            warnings=self._warnings,
            bytes=documents + sum(one.size for one in kept),
        )

    def _databases(self, tree: Tree) -> dict[str, dict[str, CollectionEntry]]:
        ours = self._source.mongo.databases if self._source.mongo else ()
        written = {}
        for path, _, content in archive.members(self._old.mongodb) if self._old.mongodb else ():
            found = old.dumped(path) if content else None
            if content and found and found[0] in ours and found[2] == "documents":
                database, stem, _ = found
                _parents(tree, place := f"mongodb/{database}/{stem}.bson.gz")
                with closing(tree.create(place)) as out:
                    written[place] = stream.write(old.plain(path, content), out)
        databases: dict[str, dict[str, CollectionEntry]] = {}
        for (database, stem), metadata in self._contents.metadata.items():
            if database in ours:
                entry = _entry(database, stem, metadata)
                _parents(tree, entry.metadata_file)
                entry = write_metadata(tree, entry)
                if entry.file:
                    entry = with_documents(entry, written[entry.file])
                databases.setdefault(database, {})[entry.name] = entry
        for database in sorted({one for one, _ in self._contents.metadata} - {*ours}):
            self._warnings.append(f"{database} is not in it: data.mongodb does not name it.")
        return databases

    def _uploads(self, tree: Tree) -> list[str]:
        prefixes = old_places.prefixes(self._contents.uploads, self._source.app.data.uploads)
        for root in prefixes.values():
            self._folders(tree, f"uploads/{root}/", root)
        for path, one, content in archive.members(self._old.uploads) if self._old.uploads else ():
            root, stored = old_places.place(prefixes, path)
            if not root and one.isdir():  # on the way to one
                continue
            if not root:
                self._warnings.append(f"{path} is not in it: it is of no folder in data.uploads.")
                continue
            self._folders(tree, stored, root)
            if one.islnk():  # to a file that the archive holds before it
                self._same(
                    tree, stored, one, old_places.place(prefixes, archive.plain(one.linkname))[1]
                )
            else:
                self._member(tree, stored, one, content)
        for entry in sorted(self._entries.values(), key=lambda one: one.path, reverse=True):
            if entry.type == "dir":
                tree.set_metadata(entry.path, as_stored(entry))
        return list(prefixes.values())

    def _member(
        self, tree: Tree, stored: str, one: tarfile.TarInfo, content: IO[bytes] | None
    ) -> None:
        kind = "file" if content else KINDS.get(one.type, "")
        entry = _file_entry(stored, kind, one)
        if kind == "dir":
            tree.make_folder(stored)
        elif kind == "link":
            tree.make_link(stored, one.linkname)
        elif content:
            entry = _copied(tree, entry, content)
        else:
            self._warnings.append(f"{stored} is a socket, FIFO or device: not copied.")
            return
        if kind != "dir":
            tree.set_metadata(stored, as_stored(entry))
        self._entries[stored] = entry

    def _same(self, tree: Tree, stored: str, one: tarfile.TarInfo, first: str) -> None:
        """Copy a file that has two names, which tar keeps once."""
        if first not in self._entries:
            raise BackupError(
                f"{stored} in the old backup is the same as {one.linkname}, which is not in it.",
                remedy="Use another backup, or unpack this one by hand.",
            )
        with open(tree.open(first), "rb") as content:  # noqa: PTH123 - it is open already
            self._member(tree, stored, one, content)

    def _folders(self, tree: Tree, stored: str, root: str) -> None:
        """Make the folders that lead to a path; unless the archive names them, as the live one."""
        parents = stored.split("/")[:-1]
        for count in range(1, len(parents) + 1):
            path = "/".join(parents[:count])
            tree.make_folder(path)
            if f"{path}/".startswith(f"uploads/{root}/") and path not in self._entries:
                self._entries[path] = _like(self._source.app.checkout / root, path)

    def _env(self, tree: Tree, path: Path) -> None:
        name = path.name.removesuffix(old.ENV)
        wanted = self._source.app.env_file or ""
        if wanted not in (name, f".{name}"):
            self._warnings.append(f"{path.name} is not in it: it is not the env_file.")
            return
        live = self._source.app.checkout / wanted
        _parents(tree, stored := f"config/{wanted}")
        entry = _like(live, stored)._replace(type="file", mode=0o600)
        with path.open("rb") as content:
            self._entries[stored] = entry = _copied(tree, entry, content)
        tree.set_metadata(stored, as_stored(entry))


def _entry(database: str, stem: str, metadata: old.Json) -> CollectionEntry:
    name = metadata.get("collectionName") or collection_name(stem)
    return entry_of(
        Collection(
            database=database,
            name=name,
            type=old.type_of(metadata),
            options=_canonical(metadata.get("options") or {}),
            indexes=[
                {key: value for key, value in _canonical(index).items() if key != "ns"}
                for index in metadata["indexes"]
            ],
            uuid=str(metadata.get("uuid") or ""),
        )
    )


def _canonical(value: old.Json) -> old.Json:
    """Return it as the server's own answers are kept, whichever way it was written."""
    found: old.Json = to_json(from_json(value))
    return found


def _copied(tree: Tree, entry: FileEntry, content: IO[bytes]) -> FileEntry:
    tree.remove(entry.path)  # named twice in a tar: the last one counts
    with closing(tree.create(entry.path)) as out:
        digest, size = files.sha256(archive.parts(content), files.write_all(out))
    return entry._replace(sha256=digest, size=size)


def _file_entry(stored: str, kind: str, one: tarfile.TarInfo) -> FileEntry:
    return FileEntry(
        path=stored,
        type=kind,
        size=0,
        mode=one.mode & 0o7777,
        uid=one.uid,
        gid=one.gid,
        mtime_ns=int(one.mtime * 1_000_000_000),
        ctime_ns=0,
        inode=0,
        target=one.linkname if kind == "link" else "",
        racy=True,
    )


def _like(live: Path, stored: str) -> FileEntry:
    """Return a folder's entry with the owner and mode of a live path, if it is there."""
    try:
        seen = live.stat()
        mode, uid, gid, time = seen.st_mode & 0o7777, seen.st_uid, seen.st_gid, seen.st_mtime_ns
    except FileNotFoundError:
        mode, uid, gid, time = 0o755, files.ME, files.MY_GROUP, 0
    return FileEntry(
        path=stored, type="dir", size=0, mode=mode, uid=uid, gid=gid,
        mtime_ns=time, ctime_ns=0, inode=0, racy=True,
    )  # fmt: skip


def _parents(tree: Tree, path: str) -> None:
    parts = path.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        tree.make_folder("/".join(parts[:count]))
