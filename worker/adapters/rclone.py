"""Speaks to one remote of rclone: few, large files, each put and got whole.

Cloud storage keeps no modes, links or odd names, has no rename of its own in places
(rclone then copies and deletes file by file), and knows other hashes everywhere. So
nothing here relies on more than: a file that was put is there, with this size.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.adapters import carrier
from worker.targets import Target

NO_SUCH_FOLDER = 3  # rclone's exit code
ASK = 600.0  # seconds, for a listing or a small file; rclone gives up a silent line after 300
MOVE = 6 * 3_600.0  # seconds: what cannot rename copies on the server
PART = 3_600.0  # seconds for one part: less than 20 kB/s is no way to bring a backup home
KNOWN = {"md5": "md5", "sha1": "sha1", "sha-1": "sha1", "sha256": "sha256", "sha-256": "sha256"}

Hashes = Mapping[str, str]


class Rclone:
    """One target. Names in it are relative. Raises UnavailableError, ConfigError."""

    def __init__(self, target: Target, mark: str) -> None:
        self._target = target
        self._mark = mark

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Return every file in a folder and below, with its size; none without the folder."""
        found = self._listed(folder, "--recursive", "--no-modtime", "--no-mimetype")
        return {one["Path"]: one["Size"] for one in found}

    def hashes(self, folder: str) -> dict[str, Hashes]:
        """Return what the remote itself says of each file: sha256, sha1, md5, or nothing."""
        found = self._listed(folder, "--hash")
        return {
            one["Path"]: {
                KNOWN[kind.lower()]: value
                for kind, value in (one.get("Hashes") or {}).items()
                if kind.lower() in KNOWN and value
            }
            for one in found
        }

    def sha256(self, name: str) -> str:
        """Return the hash of a file, by reading all of it from there."""
        argv = ["hashsum", "sha256", "--download", "--", self._target.at(name)]
        return self._run(argv, timeout=PART).split(maxsplit=1)[0]

    def put(self, path: Path, name: str) -> None:
        """Copy a file there, over what may be left of an earlier try."""
        argv = ["copyto", "--ignore-times", "--", str(path), self._target.at(name)]
        self._run(argv, timeout=PART)

    def get(self, name: str, path: Path) -> None:
        """Copy a file from there."""
        argv = ["copyto", "--ignore-times", "--", self._target.at(name), str(path)]
        self._run(argv, timeout=PART)

    def text(self, pattern: str) -> str:
        """Return the text of all files that match one pattern, one after the other."""
        argv = ["cat", "--include", pattern, "--", self._target.at("")]
        return self._run(argv, timeout=ASK, empty=NO_SUCH_FOLDER)

    def remove(self, name: str) -> None:
        """Remove one file."""
        self._run(["deletefile", "--", self._target.at(name)], timeout=ASK)

    def remove_all(self, folder: str, names: Sequence[str], scratch: Path) -> None:
        """Remove these files of a folder, as far as they are there, and no others."""
        wanted = scratch / "names"
        wanted.write_text("".join(f"{name}\n" for name in names))
        listed = ["--files-from-raw", str(wanted)]
        argv = ["delete", *listed, "--", self._target.at(folder)]
        self._run(argv, timeout=ASK, empty=NO_SUCH_FOLDER)
        wanted.unlink()

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder, where the remote has such a thing."""
        self._run(["rmdir", "--", self._target.at(name)], timeout=ASK, empty=NO_SUCH_FOLDER)

    def move(self, folder: str, name: str) -> None:
        """Give a folder another name; what is there under that name already, stays."""
        argv = ["moveto", "--", self._target.at(folder), self._target.at(name)]
        self._run(argv, timeout=MOVE, empty=NO_SUCH_FOLDER)

    def _listed(self, folder: str, *options: str) -> list[dict[str, Any]]:
        argv = ["lsjson", "--files-only", *options, "--", self._target.at(folder)]
        found: list[dict[str, Any]] = json.loads(
            self._run(argv, timeout=ASK, empty=NO_SUCH_FOLDER) or "[]"
        )
        return found

    def _run(self, argv: list[str], *, timeout: float, empty: int | None = None) -> str:
        whole = ["rclone", *argv]
        return carrier.run(
            whole, to=self._target.text, timeout=timeout, mark=self._mark, empty=empty
        )
