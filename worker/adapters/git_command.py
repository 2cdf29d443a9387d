"""Runs Git, through its command line, in one checkout, as the checkout's owner.

The repository is not trusted, nor is its `.git/config`, which a container may be
able to write: hooks, filters, fsmonitor, submodules and every protocol but that
of the clone address are off, and nothing that came over the network stands where
Git could read it as an option.
"""

import os
import pwd
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.adapters import process
from worker.adapters.git_locks import Locks
from worker.adapters.process import User
from worker.errors import CommandError, UnavailableError

LOCAL = 60.0  # seconds, for a command that needs no network
REMOTE = 300.0  # seconds, for a fetch
ASK = 60.0  # seconds, for what the remote's branches are
CLONE = 1_800.0  # seconds

_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "log.showSignature=false",  # it would run gpg.program
    "core.filesRefLockTimeout=10000",  # ms that a ref's lock of somebody else is waited for
    "protocol.allow=never",
)
_FILTER_OFF = {"clean": "", "smudge": "", "process": "", "required": "false"}
_SCP_LIKE = re.compile(r"^[^/]+@[^/]+:|^[^/:]+:[^/]")


@dataclass(frozen=True)
class GitCommand:
    """Git in one folder. `mark` ties its programs to a deployment."""

    directory: Path
    branch: str
    clone_url: str | None = None
    mark: str | None = None

    @property
    def locks(self) -> Locks:
        """Return Git's lock files here."""
        return Locks(self.directory, self.git_dir, self.branch)

    def owner(self) -> User:
        """Return whom Git runs as: the owner of the checkout's folder."""
        status = self._nearest().stat()
        try:
            home = pwd.getpwuid(status.st_uid).pw_dir
        except KeyError:
            home = "/nonexistent"
        return User(status.st_uid, status.st_gid, home)

    def _nearest(self) -> Path:
        """Return the checkout's folder, or what there is above it."""
        return next(one for one in (self.directory, *self.directory.parents) if one.exists())

    @property
    def git_dir(self) -> Path:
        """Return Git's own folder."""
        return self.directory / ".git"

    def elsewhere(self) -> tuple[Path, Path]:
        """Return Git's folder for this checkout and the one it shares, where `.git` is a file."""
        found = self.run(["rev-parse", "--git-dir", "--git-common-dir"]).splitlines()
        mine, shared = (self.directory / line for line in found)  # relative to here, or absolute
        return mine.resolve(), shared.resolve()

    def filters(self) -> dict[str, dict[str, str]]:
        """Return the filters that the repository's settings define: name -> key -> value."""
        found: dict[str, dict[str, str]] = {}
        for entry in self.run(["config", "--list", "-z"]).split("\0"):
            key, _, value = entry.partition("\n")
            section, _, rest = key.partition(".")
            name, dot, variable = rest.rpartition(".")
            if section == "filter" and dot:
                found.setdefault(name, {})[variable] = value
        return found

    def ask_remote(
        self, argv: Sequence[str], url: str, *, timeout: float, cwd: Path | None = None
    ) -> str:
        """Run what needs the remote; return its output, or say what a person can do."""
        shown = without_password(url)
        try:
            return self.run(argv, timeout=timeout, cwd=cwd)
        except CommandError as error:
            said = " ".join(error.tail.split()).replace(url, shown) or error.message
            if re.search(r"couldn't find remote ref|Remote branch .* not found", said):
                raise self.no_branch(url) from error
            raise UnavailableError(
                f"The branch {self.branch} could not be fetched from {shown}. Git said: {said}",
                remedy="Mend clone_url, or see that the remote is up and lets this host read it.",
            ) from error

    def no_branch(self, url: str) -> UnavailableError:
        """Return the error that says so, without a password."""
        return UnavailableError(
            f"The remote {without_password(url)} has no branch {self.branch}.",
            remedy="Push it, or mend branch in sheetanchor.toml.",
        )

    def index(self, name: str) -> "Index":
        """Return a temporary index of this name."""
        return Index(self, self.git_dir / f"sheetanchor-index-{name}")

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = LOCAL,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        umask: int = 0o022,
        may_fail: bool = False,
    ) -> str:
        """Run a Git command; return its output. `timeout` in seconds. Raises CommandError."""
        settings = [*_SAFE, f"protocol.{self._protocol()}.allow=always"]
        options = [word for setting in settings for word in ("-c", setting)]
        try:
            return process.run(
                ["git", *options, *argv],
                cwd=cwd or self.directory,
                timeout=timeout,
                env={**_environment(), **(env or {})},
                mark=self.mark,
                user=self.owner(),
                umask=umask,
            )
        except CommandError as error:
            if may_fail:
                return ""
            raise CommandError(["git", *argv], outcome(error), error.tail) from error

    def _protocol(self) -> str:
        url = self.clone_url or self._origin()
        scheme = re.match(r"^([a-z+]+)://", url)
        if scheme:
            return scheme.group(1)
        return "ssh" if _SCP_LIKE.match(url) else "file"

    def _origin(self) -> str:
        config = self.git_dir / "config"
        text = config.read_text(errors="replace") if config.exists() else ""
        found = re.search(r'\[remote "origin"\][^\[]*?\n\s*url\s*=\s*(\S+)', text)
        return found.group(1) if found else ""


class Index:
    """A temporary index, so that the real one is never half changed.

    What reads or writes files of the work tree runs on one: no filter of the
    repository's settings runs then, Git LFS's neither.
    """

    def __init__(self, git: GitCommand, path: Path) -> None:
        self._git = git
        self._path = path

    def __enter__(self) -> "Index":
        self._clear()
        names = self._git.filters()
        off = [(f"filter.{name}.{key}", no) for name in names for key, no in _FILTER_OFF.items()]
        # Not by `-c`: a name may hold a `=`.
        self._settings = {"GIT_CONFIG_COUNT": str(len(off))}
        for number, (key, value) in enumerate(off):
            self._settings[f"GIT_CONFIG_KEY_{number}"] = key
            self._settings[f"GIT_CONFIG_VALUE_{number}"] = value
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def run(self, argv: Sequence[str], *, umask: int = 0o022, may_fail: bool = False) -> str:
        """Run a Git command on this index."""
        env = {**self._settings, "GIT_INDEX_FILE": str(self._path)}
        return self._git.run(argv, env=env, umask=umask, may_fail=may_fail)

    def become_real(self) -> None:
        """Take the real index's place, whole at once; its lock is not needed for that."""
        self._path.rename(self._git.git_dir / "index")

    def _clear(self) -> None:
        self._path.unlink(missing_ok=True)
        self._path.with_name(f"{self._path.name}.lock").unlink(missing_ok=True)


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ControlMaster=no -o ControlPath=none",
        "GIT_LITERAL_PATHSPECS": "0",
        "GIT_ASKPASS": "",  # set, so that no core.askPass is run
        "GIT_PROXY_COMMAND": "",  # nor a core.gitProxy
    }


def without_password(url: str) -> str:
    """Return an address as people may see it."""
    return re.sub(r"//[^/@]*@", "//***@", url)


def outcome(error: CommandError) -> str:
    """Return how a command ended: `exited 128`."""
    return error.message.rpartition("` ")[2].rstrip(".")
