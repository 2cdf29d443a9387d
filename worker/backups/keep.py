"""Copies uploads and config files into a backup, and links what did not change.

The danger is an app that goes on writing: files vanish, appear and change while they
are copied. A file is read again until it held still; what did not is said in the
warnings, and the backup is then not of one moment.
"""

import contextlib
import errno
from collections.abc import Callable, Mapping
from pathlib import Path

from worker.adapters import disk, files
from worker.adapters.files import Stat, closing
from worker.adapters.files_tree import Scan, Tree
from worker.backups.file_entries import (
    as_before,
    as_stored,
    entry_of,
    is_same_file,
    is_still,
    looks_same,
)
from worker.backups.file_list import FileEntry, Files
from worker.backups.links import Links
from worker.backups.progress import Progress
from worker.backups.source import STAGING, Source
from worker.backups.text import size_text
from worker.errors import BackupError, FullError

TRIES = 3
# A file vanished, or became something else. What is there and cannot be read must not be
# left out: a restore would remove it.
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)


class Keep:
    """Copies an app's files into a backup's folder."""

    def __init__(
        self,
        source: Source,
        folder: Path,
        links: Links,
        *,
        report: Callable[[str], None],
        progress: Progress,
    ) -> None:
        self.warnings: list[str] = []
        self.moved: list[str] = []  # changed or vanished since the first look
        self._source = source
        self._folder = folder
        self._links = links
        self._report = report
        self._progress = progress
        self._before = links.manifest.files_by_path() if links.manifest else {}
        self._first: dict[str, dict[str, Stat]] = {}  # by uploads folder

    def look(self) -> None:
        """Note what there is before the databases are read.

        Of what is there then, nothing may change or vanish until all is copied: only so
        the files fit the databases' moment. A file that comes later harms nobody.
        """
        for root in self._source.app.data.uploads:
            with contextlib.suppress(OSError), Tree(self._source.app.checkout / root) as live:
                self._first[root] = live.scan(STAGING).entries
                self._progress.whole += sum(seen.size for seen in self._first[root].values())
        for path in self._source.config_files:
            with contextlib.suppress(OSError):
                self._progress.whole += path.stat().st_size

    def refuse_full_disk(self) -> None:
        """Raise FullError where what was seen and cannot be linked does not fit.

        To fill the disk first would end a mongod on it. A sparse file is copied whole.
        """
        free = disk.free_bytes(self._folder)
        if self._progress.whole <= free:
            return
        needed = sum(
            seen.size
            for root, there in self._first.items()
            for path, seen in there.items()
            if not self._is_kept(f"uploads/{root}/{path}", seen)
        )
        if needed > free:
            raise FullError(
                f"The backup needs {size_text(needed)} for uploads that changed, and"
                f" {size_text(free)} are free beside {self._folder}.",
                remedy="Free some space, or move backup.dir to another disk.",
            )

    def _is_kept(self, stored: str, seen: Stat) -> bool:
        earlier = self._before.get(stored)
        return earlier is not None and is_same_file(earlier, seen)

    def run(self) -> Files:
        """Return what was copied: folders before what is in them."""
        kept: list[FileEntry] = []
        with Tree(self._folder) as backup:
            for root in self._source.app.data.uploads:
                kept += self._uploads(backup, root)
            for stored, path in self._source.stored_config().items():
                kept += self._config(backup, stored, path)
        earlier = self._links.manifest.files if self._links.manifest else ()
        return Files(kept, earlier)

    def _uploads(self, backup: Tree, root: str) -> list[FileEntry]:
        try:
            live = Tree(self._source.app.checkout / root)
        except OSError as error:
            if error.errno not in GONE:
                raise _unreadable(root, error) from error
            self.warnings.append(f"{root} was not there to be saved ({error.strerror}).")
            return []
        with live:
            found = live.scan(STAGING)
            _make_parents(backup, f"uploads/{root}/")
            there = {f"uploads/{root}/{path}".rstrip("/"): path for path in found.entries}
            for stored, path in there.items():
                if found.entries[path].type == "dir":
                    backup.make_folder(stored)
            linked = self._linked(there, found)
            entries = [
                linked.get(stored) or self._entry(live, backup, stored, path, found.entries[path])
                for stored, path in there.items()
            ]
            kept = [entry for entry in entries if entry]
            for entry in reversed(kept):
                if entry.type == "dir":
                    backup.set_metadata(entry.path, as_stored(entry))
            self._note(root, found, live.scan(STAGING), kept)
        regular = [entry for entry in kept if entry.type == "file"]
        total = size_text(sum(entry.size for entry in regular))
        self._report(f"{root}: {len(regular):,} files, {total}")
        return kept

    def _linked(self, there: Mapping[str, str], found: Scan) -> dict[str, FileEntry]:
        """Link what nobody wrote to since the earlier backup; return its entries, by path."""
        same = {
            stored: as_before(earlier, seen)
            for stored, path in there.items()
            if (earlier := self._before.get(stored))
            and is_same_file(earlier, seen := found.entries[path])
        }
        linked: dict[str, FileEntry] = {}
        for part in self._links.link_all(same, self._folder):
            linked |= {stored: same[stored] for stored in part}
            size = sum(same[stored].size for stored in part)
            self._progress.add(size, files=len(part))
        return linked

    def _entry(
        self, live: Tree, backup: Tree, stored: str, path: str, seen: Stat
    ) -> FileEntry | None:
        self._progress.add(0)
        if seen.type == "link":
            backup.make_link(stored, seen.target)
        if seen.type != "file":
            return entry_of(stored, seen)
        return self._copied(lambda: live.open(path), backup, stored)

    def _copied(self, opened: Callable[[], int], backup: Tree, stored: str) -> FileEntry | None:
        entry = None
        for _ in range(TRIES):
            backup.remove(stored)
            try:
                descriptor = opened()
            except OSError as error:
                if error.errno not in GONE:
                    raise _unreadable(stored, error) from error
                return None  # `_note` says so
            with closing(descriptor):
                before = files.stat_of(descriptor)
                if before.type != "file":
                    return None
                racy = files.just_written(before)
                with closing(backup.create(stored)) as out:
                    parts = self._progress.counting(files.chunks(descriptor))
                    digest, size = files.sha256(parts, files.write_all(out))
                after = files.stat_of(descriptor)
            entry = entry_of(stored, before)._replace(sha256=digest, size=size, racy=racy)
            backup.set_metadata(stored, as_stored(entry))
            if before.identity == after.identity and size == before.size:
                self._progress.add(0, files=1)
                return entry
        self.moved.append(stored)
        self.warnings.append(f"{stored} was written to each time it was copied.")
        return entry

    def _config(self, backup: Tree, stored: str, path: Path) -> list[FileEntry]:
        _make_parents(backup, stored)
        entry = self._copied(lambda: files.open_followed(path), backup, stored)
        if entry is None:
            self.warnings.append(f"{path} was not there to be saved.")
        return [entry] if entry else []

    def _note(self, root: str, first: Scan, last: Scan, kept: list[FileEntry]) -> None:
        """Notice what changed from the first look to the last, which follows all copying."""
        for path in first.skipped:
            self.warnings.append(f"{root}/{path} is a socket, FIFO or device: not saved.")
        entries = {entry.path: entry for entry in kept}
        now = {f"uploads/{root}/{path}".rstrip("/"): seen for path, seen in last.entries.items()}
        vanished = [path for path in entries if path not in now]
        missed = [path for path in now if path not in entries]
        changed = [
            path
            for path, entry in entries.items()
            if path in now and entry.type != "dir" and not looks_same(entry, now[path])
        ]
        self.moved += sorted({*vanished, *changed, *self._moved(root, last)} - {*self.moved})
        if vanished or missed or changed:
            self.warnings.append(
                f"{root} was being written to: {len(vanished)} files vanished, {len(missed)} "
                f"appeared and {len(changed)} changed while it was copied."
            )

    def _moved(self, root: str, last: Scan) -> list[str]:
        """Return what changed or vanished since the first look."""
        return [
            f"uploads/{root}/{path}"
            for path, seen in self._first.get(root, {}).items()
            if seen.type != "dir" and not is_still(seen, last.entries.get(path))
        ]


def _unreadable(path: str, error: OSError) -> BackupError:
    return BackupError(
        f"{path} is there and could not be read: {error.strerror}.",
        remedy="Make it readable, or remove it; see that its disk is healthy. Then try again.",
    )


def _make_parents(backup: Tree, path: str) -> None:
    parts = path.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        backup.make_folder("/".join(parts[:count]))
