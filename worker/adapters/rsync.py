"""Copies whole trees with rsync, to a folder of this host or through ssh.

The danger is a mirror that deletes the only copy: `--delete` is given only for a folder
with a partial name, which nobody relies on. Everything there is for its owner alone, for
a backup holds passwords. rsync itself gives up a line on which nothing moves.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from worker.adapters import carrier, files
from worker.adapters.files_tree import Tree
from worker.errors import UnavailableError
from worker.targets import Target

SILENCE = 600  # seconds without a byte
LONGEST = 7 * 86_400.0  # seconds: the first copy of a large app through a thin line
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=30"
# Whole files: Debian's rsync since its fixes of 2025 (3.2.7-1+deb12u6, measured) fails for good
# where blocks of a file in `--link-dest=../…` are the same, and what is packed shares none.
_TREE = ("--recursive", "--links", "--times", "--omit-dir-times", "--omit-link-times")
_WHOLE = ("--whole-file",)
_PRIVATE = ("--perms", "--chmod=D700,F600")


class Rsync:
    """One target. Names in it are relative. Raises UnavailableError, ConfigError."""

    def __init__(self, target: Target, mark: str) -> None:
        self._target = target
        self._mark = mark

    def names(self) -> list[str]:
        """Return the names of the folders at the target."""
        lines = self._run(["--list-only", "--", self._target.at("")]).splitlines()
        fields = [line.split(maxsplit=4) for line in lines if line.startswith("d")]
        return [one[4] for one in fields if len(one) == 5 and one[4] != "."]  # noqa: PLR2004

    def copy(
        self,
        folder: Path,
        partial: str,
        without: Sequence[str],
        *,
        like: str | None,
        by_content: bool,
    ) -> None:
        """Make a partial folder there what this folder is, `without` some names at its top.

        What the folder `like` has already is linked there. `by_content`: nothing is believed
        for its size and time.
        """
        argv = [*_TREE, *_WHOLE, *_PRIVATE, "--delete", *_excluded(without)]
        argv += [f"--link-dest=../{like}"] if like else []
        argv += ["--checksum"] if by_content else []
        self._run([*argv, "--", f"{folder}/", self._target.at(f"{partial}/")])

    def differences(self, folder: Path, partial: str, without: Sequence[str]) -> list[str]:
        """Return what differs there, after all of it was read on both sides."""
        argv = [*_TREE, "--delete", *_excluded(without), "--checksum", "--dry-run"]
        argv += ["--itemize-changes", "--", f"{folder}/", self._target.at(f"{partial}/")]
        return self._run(argv).splitlines()

    def put(self, path: Path, name: str) -> None:
        """Copy one file there, whole or not at all."""
        self._run([*_PRIVATE, "--times", "--", str(path), self._target.at(name)])

    def get_all(self, name: str, into: Path) -> None:
        """Copy each file of this name, of every folder at the target, into folders like those."""
        only = ["--exclude=/.*", "--include=/*/", f"--include=/*/{name}", "--exclude=*"]
        argv = ["--recursive", *_PRIVATE, "--prune-empty-dirs", *only]
        self._run([*argv, "--", self._target.at(""), f"{into}/"])

    def get(self, name: str, into: Path, without: Sequence[str]) -> None:
        """Copy a folder from there into one of ours."""
        argv = [*_TREE, *_PRIVATE, *_excluded(without)]
        self._run([*argv, "--", self._target.at(f"{name}/"), f"{into}/"])

    def remove_folder(self, name: str, scratch: Path) -> None:
        """Remove a folder with all that is in it: rsync makes it what an empty one is."""
        target = self._target
        with TemporaryDirectory(dir=scratch) as nothing:
            argv = ["--recursive", "--delete", "--", f"{nothing}/", target.at(f"{name}/")]
            self._run(argv)
        if target.host is None:
            Path(target.at(name)).rmdir()
            files.sync(Path(target.path))
            return
        argv = [*_SSH.split(), "--", target.host, "rmdir", "--", self._place(name)]
        carrier.run(argv, to=target.text, timeout=SILENCE, mark=self._mark)

    def rename(self, old: str, new: str) -> None:
        """Give a folder its final name, once it is on disk there (as far as can be told)."""
        target = self._target
        if target.host is None:
            top = Path(target.path)
            _sync(top / old)
            (top / old).rename(top / new)
            files.sync(top)
            return
        places = [self._place(name) for name in (old, new)]
        argv = [*_SSH.split(), "--", target.host, "mv", "--", *places]
        carrier.run(argv, to=target.text, timeout=SILENCE, mark=self._mark)

    def _place(self, name: str) -> str:
        """Return the path of what has this name there."""
        return f"{self._target.path.rstrip('/')}/{name}"

    def _run(self, argv: Sequence[str]) -> str:
        self._refuse_unmounted()
        whole = ["rsync", f"--rsh={_SSH}", f"--timeout={SILENCE}", "--no-motd", *argv]
        return carrier.run(whole, to=self._target.text, timeout=LONGEST, mark=self._mark)

    def _refuse_unmounted(self) -> None:
        """Raise UnavailableError without the folder: a disk that is away must not be replaced."""
        target = self._target
        if target.host is None and not Path(target.path).is_dir():
            raise UnavailableError(
                f"The target {target.text} is away: there is no folder {target.path}.",
                remedy="Mount the disk; or make the folder, once, if this is its place.",
            )


def _sync(top: Path) -> None:
    with Tree(top) as tree:
        found = tree.scan().entries
    files.sync_all(top / path for path, seen in found.items() if seen.type != "link")


def _excluded(names: Sequence[str]) -> list[str]:
    return [f"--exclude=/{name}" for name in names]
