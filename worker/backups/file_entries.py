"""A file's entry in the manifest: when it still is the live file, and how its copy looks."""

from worker.adapters import files
from worker.adapters.files import Stat
from worker.backups.file_list import FileEntry

READABLE = 0o777  # permission bits of a copy: no set-id bits inside a backup


def is_same_file(entry: FileEntry | None, seen: Stat) -> bool:
    """Return whether a live file is provably what was copied then: nobody wrote to it."""
    return (
        entry is not None
        and entry.type == seen.type == "file"
        and not entry.racy
        and looks_same(entry, seen)
    )


def as_stat(entry: FileEntry) -> Stat:
    """Return the owner, mode and times that a restore gives back."""
    return Stat(
        type=entry.type,
        size=entry.size,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        mtime_ns=entry.mtime_ns,
        ctime_ns=entry.ctime_ns,
        inode=entry.inode,
        target=entry.target,
    )


def is_still(seen: Stat, now: Stat | None) -> bool:
    """Return whether a second look shows what the first did."""
    return seen == now or (
        now is not None
        and (seen.type, seen.target, seen.identity) == (now.type, now.target, now.identity)
    )


def as_before(earlier: FileEntry, seen: Stat) -> FileEntry:
    """Return the entry of a file that `is_same_file`: the earlier one itself, of most files."""
    if (earlier.mode, earlier.uid, earlier.gid) == (seen.mode, seen.uid, seen.gid):
        return earlier
    return entry_of(earlier.path, seen)._replace(sha256=earlier.sha256)


def looks_same(entry: FileEntry, seen: Stat) -> bool:
    """Return whether a live file or link has the times and size, or the target, of its entry."""
    return (entry.type, entry.target) == (seen.type, seen.target) and (
        (entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode) == seen.identity
    )


def entry_of(path: str, seen: Stat) -> FileEntry:
    """Return the entry of what is there, without its content."""
    return FileEntry(
        path=path,
        type=seen.type,
        size=seen.size,
        mode=seen.mode,
        uid=seen.uid,
        gid=seen.gid,
        mtime_ns=seen.mtime_ns,
        ctime_ns=seen.ctime_ns,
        inode=seen.inode,
        target=seen.target,
    )


def as_stored(entry: FileEntry) -> Stat:
    """Return how a copy looks: as the original in uploads, for us only in config."""
    private = entry.path.startswith("config/")
    mode = 0o600 if private else entry.mode & READABLE
    mode |= 0o700 if entry.type == "dir" else 0
    wanted = as_stat(entry)._replace(mode=mode)
    return wanted._replace(uid=files.ME, gid=files.MY_GROUP) if private else wanted
