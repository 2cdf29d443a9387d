"""Puts uploads back, into the folder that is there: its inode is the bind mount's.

The danger is to fail half-way, and to be led elsewhere. So all files that differ are
first copied into a folder of ours at the top (same file system), hashed and synced;
then each takes its place by a rename. Disks that are mounted further below have such a
folder each: no rename leads from one to another. Files are copied out of the backup and never
linked: the app may write in place. Nothing follows a link below the top.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from worker.adapters import files
from worker.adapters.files import closing
from worker.adapters.files_tree import Tree
from worker.backups.difference import FileChange, same_metadata, upload_changes
from worker.backups.file_entries import as_stat
from worker.backups.file_list import FileEntry
from worker.backups.progress import Progress
from worker.backups.source import STAGING
from worker.backups.text import size_text
from worker.errors import FullError, RestoreError

AT_ONCE = 8  # files synced at a time


def was_killed(top: Path) -> bool:
    """Return whether a restore of this folder did not come to its end."""
    return (top / STAGING).exists()


class Place:
    """Restores one uploads folder; `kept` is what the backup holds of it."""

    def __init__(
        self, top: Path, root: str, kept: dict[str, FileEntry], report: Callable[[str], None]
    ) -> None:
        self._root = root
        self._kept = kept
        self._report = report
        self._progress = Progress(report, what=f"{root} copied")
        top.mkdir(parents=True, exist_ok=True)
        self._live = Tree(top)
        found = self._live.scan(STAGING)
        self._mounts = found.mounts  # of other file systems, below the top
        for mount in ("", *self._mounts):
            self._live.remove(_staging_at(mount))  # of a run that was killed
        self._changes = upload_changes(found.entries, self._live, kept, root)
        replaced = [kept[change.path] for change in self._changes if change.what in _REPLACED]
        self._to_copy = [entry for entry in replaced if entry.type != "dir"]
        self._progress.whole = sum(entry.size for entry in self._to_copy)
        self._staged: dict[str, str] = {}

    def refuse_full_disk(self) -> None:
        """Raise FullError where what differs does not fit beside the live files."""
        needed: dict[str, int] = dict.fromkeys(("", *self._mounts), 0)
        for entry in self._to_copy:
            needed[self._mount_of(entry.path)] += entry.size
        for mount, size in needed.items():
            if size > (free := self._live.free_bytes(mount)):
                raise FullError(
                    f"{f'{self._root}/{mount}'.rstrip('/')} needs {size_text(size)} beside the "
                    f"live files, and {size_text(free)} are free.",
                    remedy="Free some space; nothing live was touched.",
                )

    def stage(self, backup: Tree) -> None:
        """Copy what differs beside the live files, and prove that it arrived whole."""
        self._refuse_mounts_in_the_way()
        copied = self._to_copy
        self._progress.begin()
        self._live.make_folder(STAGING)
        for number, entry in enumerate(copied):
            folder = _staging_at(self._mount_of(entry.path))
            self._live.make_folder(folder)
            self._staged[entry.path] = f"{folder}/{number}"
            self._copy(backup, entry, self._staged[entry.path])
        regular = [self._staged[entry.path] for entry in copied if entry.type == "file"]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._live.sync, regular))
        if self._changes:
            self._report(f"{self._root}: {len(copied):,} files staged")

    def swap(self) -> None:
        """Let what was staged take its place, and remove what the backup does not have."""
        for change in self._changes:
            if self._is_to_go(change) or self._is_in_the_way(change):
                self._live.remove(self._inner(change.path))
        for change in self._changes:
            if change.what in _REPLACED and self._kept[change.path].type == "dir":
                self._make_folder(change.path)
        for path, staged in self._staged.items():
            self._live.swap_in(staged, self._inner(path))
        for entry in [self._kept[one.path] for one in self._changes if one.what == "metadata"]:
            self._live.set_metadata(self._inner(entry.path), as_stat(entry))
        self._finish_folders()
        self._live.remove(STAGING)  # last: while it is there, a second run does all this again
        if self._kept:  # else the folder was not there to be saved
            self._live.set_metadata("", as_stat(self._kept[f"uploads/{self._root}"]))

    def discard(self) -> None:
        """Remove what was staged."""
        for mount in ("", *self._mounts):
            self._live.remove(_staging_at(mount))

    def close(self) -> None:
        """Close the folder."""
        self._live.__exit__(None, None, None)

    def _copy(self, backup: Tree, entry: FileEntry, staged: str) -> None:
        if entry.type == "link":
            self._live.make_link(staged, entry.target)
        else:
            with (
                closing(backup.open(entry.path)) as source,
                closing(self._live.create(staged)) as out,
            ):
                parts = self._progress.counting(files.chunks(source))
                digest, _ = files.sha256(parts, files.write_all(out))
            if digest != entry.sha256:
                raise RestoreError(
                    f"{entry.path} was damaged while it was copied out of the backup.",
                    remedy="Use another backup; nothing live was touched.",
                )
        self._live.set_metadata(staged, as_stat(entry))
        self._progress.add(0, files=1)

    def _mount_of(self, path: str) -> str:
        """Return where the file system begins that a path of the backup will be on."""
        inner = self._inner(path)
        return max(
            (one for one in self._mounts if inner.startswith(f"{one}/")), default="", key=len
        )

    def _holds_a_mount(self, change: FileChange) -> bool:
        below = f"{self._inner(change.path)}/"
        return any(f"{mount}/".startswith(below) for mount in self._mounts)

    def _refuse_mounts_in_the_way(self) -> None:
        for change in self._changes:
            if change.what == "changed" and self._holds_a_mount(change):
                raise RestoreError(
                    f"{change.path} is a file in the backup, and a disk is mounted there.",
                    remedy="Unmount it, then try again; nothing live was touched.",
                )

    def _is_to_go(self, change: FileChange) -> bool:
        """Return whether it is to be removed; of a mounted disk only what is on it."""
        return change.what == "new" and not self._holds_a_mount(change)

    def _is_in_the_way(self, change: FileChange) -> bool:
        """Return whether the live thing of that name cannot just be renamed over."""
        if change.what != "changed":
            return False
        live = self._live.stat(self._inner(change.path))
        return "dir" in (live.type, self._kept[change.path].type)

    def _make_folder(self, path: str) -> None:
        if self._inner(path):
            self._live.make_folder(self._inner(path))

    def _finish_folders(self) -> None:
        """Give folders their owner, mode and time, the inner ones first, and sync them."""
        for mount in self._mounts:
            self._live.remove(_staging_at(mount))  # it would change its folder's time
        folders = [entry for entry in self._kept.values() if entry.type == "dir"]
        for entry in reversed(folders):
            inner = self._inner(entry.path)
            live = self._live.stat(inner)
            if not same_metadata(entry, live) or live.mtime_ns != entry.mtime_ns:
                self._live.set_metadata(inner, as_stat(entry))
            self._live.sync(inner)

    def _inner(self, path: str) -> str:
        return path.removeprefix(f"uploads/{self._root}").lstrip("/")


def _staging_at(mount: str) -> str:
    return f"{mount}/{STAGING}" if mount else STAGING


_REPLACED = ("missing", "changed")
