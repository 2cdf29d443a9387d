"""When a backup was read back last and what was found: a small file of its own in its folder.

The manifest says when it was verified as it was made, and is never written again: it and
`manifest.txt` cannot be replaced at one instant, and a backup that was killed between the
two would look damaged. The danger is a backup that rots and still counts: what was found
damaged is not verified any more, until all of it is read back whole again (a copy was
put in its place). A record that cannot be read counts for damage.
"""

import errno
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from worker.adapters import files
from worker.backups import manifest as manifests
from worker.backups.manifest import Manifest
from worker.backups.reader import Reader
from worker.backups.verify import RECORD, Tick, check
from worker.errors import BackupError

MOST_FAULTS = 100  # kept in the record
_ROTTEN = (errno.EIO, errno.ENOENT, errno.EUCLEAN, errno.EBADMSG)  # of the disk, not of us

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What one reading of a whole backup found: nothing wrong, or these faults."""

    at: str  # RFC 3339 UTC
    faults: tuple[str, ...] = ()
    proven: bool = True  # an older script's can only be read: nothing says what should be there

    @property
    def damage(self) -> str | None:
        """The damage in a few words, or None."""
        if not self.faults:
            return None
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        return f"{self.faults[0]}{more}"

    @classmethod
    def of(cls, folder: Path) -> Self | None:
        """Return the last one of a backup; None when it was not read since it was made."""
        try:
            stored = json.loads((folder / RECORD).read_bytes())
            return cls(at=str(stored["at"]), faults=tuple(map(str, stored["faults"])))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return cls(at="", faults=(f"{RECORD} cannot be read",))


def read_back(
    folder: Path, app: str, now: str, tick: Tick, reader: Reader | None = None
) -> Verification:
    """Read every byte of a backup back; record and return what was found.

    `tick` gets the size of each file, and of all; what it raises ends the reading, and nothing is
    recorded. Raises BackupError when the reading failed for a cause that is not the
    backup's: that proves nothing.
    """
    try:
        manifest = manifests.read(folder)
        found_wrong = check(folder, manifest, (), tick, reader)
        faults = [*_elsewhere(folder, app, manifest), *map(str, found_wrong)]
    except BackupError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno not in _ROTTEN:
            raise
        faults = [error.message.removesuffix(".")]
    found = Verification(at=now, faults=tuple(faults[:MOST_FAULTS]))
    _record(folder, found)
    return found


def _elsewhere(folder: Path, app: str, manifest: Manifest) -> list[str]:
    """Return whether this is another backup than the folder's name and place say."""
    if (manifest.app, manifest.id) == (app, folder.name):
        return []
    return [f"{manifests.NAME} is of {manifest.app}'s backup {manifest.id}"]


def _record(folder: Path, found: Verification) -> None:
    """Write it; a disk that takes nothing any more must not hide what was found."""
    try:
        files.write(folder / RECORD, json.dumps(asdict(found)).encode())
    except OSError as error:
        extra = {"path": str(folder), "error": str(error)}
        log.warning("verification.unrecorded", extra=extra)
