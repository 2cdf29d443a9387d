"""Git, through its command line, in one checkout, as the checkout's owner.

The repository is not trusted: hooks, fsmonitor, submodules and every protocol
but that of the clone address are off, and nothing that came over the network
stands where Git could read it as an option.

The work tree is moved by plumbing (`read-tree`, `checkout-index`), never by
`checkout` or `reset --hard`: those would write below the data paths.
"""

import os
import pwd
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.adapters import process
from worker.adapters.process import User
from worker.errors import CommandError, GuardError, StepError, UnavailableError

LOCAL = 60.0  # seconds, for a command that needs no network
REMOTE = 300.0  # seconds, for a fetch
CLONE = 1_800.0  # seconds

_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "credential.helper=",
    "gc.auto=0",
    "protocol.allow=never",
)
_SCP_LIKE = re.compile(r"^[^/]+@[^/]+:|^[^/:]+:[^/]")


@dataclass(frozen=True)
class Head:
    """Where HEAD is: a revision, and the branch it names (None when detached)."""

    revision: str
    ref: str | None


@dataclass(frozen=True)
class Checkout:
    """A clone on this host. `mark` ties its programs to a deployment."""

    directory: Path
    branch: str
    clone_url: str | None = None
    mark: str | None = None

    def exists(self) -> bool:
        """Return whether there is a repository."""
        return (self.directory / ".git").exists()

    def clone(self) -> None:
        """Make the checkout from `clone_url`, whole or not at all.

        Raises GuardError when it cannot be made there, UnavailableError for the remote.
        """
        if self.clone_url is None:
            raise GuardError(
                f"There is no checkout at {self.directory}.",
                remedy="Clone the repository there, or set clone_url.",
            )
        if self.directory.exists() and any(self.directory.iterdir()):
            raise GuardError(
                f"{self.directory} is there, but is no Git repository.",
                remedy="Move it away, or mend checkout in sheetanchor.toml.",
            )
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        partial = self.directory.with_name(f".{self.directory.name}.partial")
        if partial.exists():
            shutil.rmtree(partial)
        argv = ["clone", "--quiet", "--branch", self.branch, "--", self.clone_url, str(partial)]
        self._ask_remote(argv, self.clone_url, timeout=CLONE, cwd=self.directory.parent)
        if self.directory.exists():
            self.directory.rmdir()
        partial.rename(self.directory)

    def fetch(self) -> str:
        """Bring the branch from the remote; return its head. Nothing else moves.

        Raises UnavailableError when the remote does not give it.
        """
        self.clear_locks()
        url = self.clone_url or "origin"
        kept = f"refs/sheetanchor/remote/{self.branch}"
        wanted = f"+refs/heads/{self.branch}:{kept}"
        argv = ["fetch", "--quiet", "--no-tags", "--force", "--end-of-options", url, wanted]
        self._ask_remote(argv, self.clone_url or self._origin(), timeout=REMOTE)
        return self.revision(kept)

    def revision(self, name: str) -> str:
        """Return the commit id that a name means. Raises CommandError if there is none."""
        argv = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        return self._run(argv).strip()

    def has(self, revision: str) -> bool:
        """Return whether the commit is here."""
        try:
            return self.revision(revision) == revision
        except CommandError:
            return False

    def head(self) -> Head:
        """Return where HEAD is."""
        try:
            ref = self._run(["symbolic-ref", "--quiet", "HEAD"]).strip()
        except CommandError:
            ref = None
        try:
            return Head(self.revision("HEAD"), ref)
        except CommandError:
            if ref is None:
                raise
            return Head(self._nothing(), ref)  # a branch without a commit

    def _nothing(self) -> str:
        """Return a commit without files: where a clone of an empty repository is."""
        with self._index("nothing") as index:
            index.run(["read-tree", "--empty"])
            tree = index.run(["write-tree"]).strip()
        return self._run([*_WHO, "commit-tree", tree, "-m", "Nothing yet"]).strip()

    def describe(self, revision: str) -> tuple[str, str]:
        """Return a commit's author and the first line of its message."""
        shown = self._run(["show", "--no-patch", "--format=%an%n%s", revision]).split("\n")
        return shown[0][:200], shown[1][:500]

    def changed(self, before: str, after: str, *, without: Iterable[str] = ()) -> dict[str, str]:
        """Return path -> status letter (A, M, D, T) from one tree to another."""
        argv = ["diff-tree", "-r", "-z", "--no-renames", "--name-status", before, after, "--"]
        fields = self._run([*argv, ".", *_excluded(without)]).split("\0")[:-1]
        return dict(zip(fields[1::2], fields[::2], strict=True))

    def tracked(self, revision: str, paths: Sequence[str]) -> list[str]:
        """Return which files at or below these paths the revision tracks."""
        if not paths:
            return []
        argv = ["ls-tree", "-r", "-z", "--name-only", "--full-tree", revision, "--", *paths]
        return self._run(argv).split("\0")[:-1]

    def local_changes(self, deployment: str, *, without: Iterable[str]) -> str:
        """Keep tracked local changes and local commits; return the commit that holds them.

        A commit on top of HEAD, at `refs/sheetanchor/<deployment>`; the files
        and the real index stay as they are. Data paths are left out. Asked
        again, it returns the commit that it made the first time.
        """
        if already := self.kept(deployment):
            return already
        head = self.head().revision
        with self._index(deployment) as index:
            index.run(["read-tree", head])
            index.run(["add", "--update", "--", ".", *_excluded(without)])
            tree = index.run(["write-tree"]).strip()
        message = f"Local changes before deployment {deployment}"
        commit = self._run([*_WHO, "commit-tree", tree, "-p", head, "-m", message]).strip()
        self._run(["update-ref", f"refs/sheetanchor/{deployment}", commit])
        return commit

    def kept(self, deployment: str) -> str | None:
        """Return the commit that `local_changes` made for a deployment, if it did."""
        try:
            return self.revision(f"refs/sheetanchor/{deployment}")
        except CommandError:
            return None

    def keep_branch(self, deployment: str) -> None:
        """Keep where the branch points, if it is not where HEAD is; once."""
        mine, kept = f"refs/heads/{self.branch}", f"refs/sheetanchor/{deployment}-branch"
        try:
            if self.head().ref != mine and not self.has_ref(kept):
                self._run(["update-ref", kept, self.revision(mine)])
        except CommandError:
            return  # there is no such branch yet

    def put_branch_back(self, deployment: str) -> None:
        """Point the branch to where `keep_branch` found it, if it did."""
        kept = f"refs/sheetanchor/{deployment}-branch"
        if self.has_ref(kept):
            self._run(["update-ref", f"refs/heads/{self.branch}", self.revision(kept)])

    def has_ref(self, name: str) -> bool:
        """Return whether a ref exists."""
        try:
            return bool(self.revision(name))
        except CommandError:
            return False

    def move(self, before: str, after: str, head: Head, *, without: Sequence[str]) -> list[str]:
        """Make the work tree `after`, coming from `before`; then HEAD and index `head`.

        Only paths that differ between the two commits are written, each as a new
        file; nothing at or below the paths in `without` is. Can be run again
        after it was killed anywhere. Returns the paths.
        """
        self.clear_locks()
        paths = self.changed(before, after, without=without)
        with self._index(head.revision) as index:
            index.run(["read-tree", after])
            written = [path for path, status in paths.items() if status != "D"]
            for some in _chunks(written):
                index.run(["checkout-index", "--force", "--", *some])
        for path in _left_over(paths, written):
            self._remove(path)
        self._set_head(head)
        return sorted(paths)

    def add_missing(self, revision: str, before: str, folders: Sequence[str]) -> None:
        """Write files below these folders that the revision adds, where nothing is yet."""
        added = [
            path
            for path in self.tracked(revision, folders)
            if not os.path.lexists(self.directory / path)
        ]
        known = set(self.tracked(before, folders))
        new = [path for path in added if path not in known]
        with self._index(f"added-{revision}") as index:
            index.run(["read-tree", revision])
            for some in _chunks(new):
                index.run(["checkout-index", "--", *some])

    def export(self, revision: str, target: Path) -> None:
        """Write the revision's files into an empty folder, umask 022."""
        with self._index(f"export-{revision}") as index:
            index.run(["read-tree", revision])
            index.run(["checkout-index", "--all", "--force", f"--prefix={target}/"], umask=0o022)

    def clear_locks(self) -> None:
        """Remove what a killed Git left. The caller holds the app's lock."""
        names = ["index.lock", "HEAD.lock", "packed-refs.lock", f"refs/heads/{self.branch}.lock"]
        for name in [*names, f"refs/sheetanchor/remote/{self.branch}.lock"]:
            (self._git_dir / name).unlink(missing_ok=True)

    def owner(self) -> User:
        """Return whom Git runs as: the owner of the checkout's folder."""
        there = self.directory if self.directory.exists() else self.directory.parent
        status = there.stat()
        try:
            home = pwd.getpwuid(status.st_uid).pw_dir
        except KeyError:
            home = "/nonexistent"
        return User(status.st_uid, status.st_gid, home)

    @property
    def _git_dir(self) -> Path:
        return self.directory / ".git"

    def _set_head(self, head: Head) -> None:
        if head.ref:
            self._run(["update-ref", head.ref, head.revision])
            self._run(["symbolic-ref", "HEAD", head.ref])
        else:
            self._run(["update-ref", "--no-deref", "HEAD", head.revision])
        self._run(["read-tree", head.revision])
        self._run(["update-index", "-q", "--refresh"], may_fail=True)

    def _remove(self, path: str) -> None:
        """Delete a file and the folders that it leaves empty; follow no link."""
        full = self.directory / path
        if any(folder.is_symlink() for folder in _between(full, self.directory)):
            raise StepError(
                f"{path} lies behind a symbolic link.", remedy="Make it a real folder again."
            )
        full.unlink(missing_ok=True)
        for folder in _between(full, self.directory):
            try:
                folder.rmdir()
            except OSError:
                return

    def _ask_remote(
        self, argv: Sequence[str], url: str, *, timeout: float, cwd: Path | None = None
    ) -> None:
        """Run what needs the remote; say what a person can do when it fails."""
        try:
            self._run(argv, timeout=timeout, cwd=cwd)
        except CommandError as error:
            shown = re.sub(r"//[^/@]*@", "//***@", url)
            said = " ".join(error.tail.split()).replace(url, shown) or error.message
            if re.search(r"couldn't find remote ref|Remote branch .* not found", said):
                raise UnavailableError(
                    f"The remote {shown} has no branch {self.branch}.",
                    remedy="Push it, or mend branch in sheetanchor.toml.",
                ) from error
            raise UnavailableError(
                f"The branch {self.branch} could not be fetched from {shown}. Git said: {said}",
                remedy="Mend clone_url, or see that the remote is up and lets this host read it.",
            ) from error

    def _index(self, name: str) -> "_Index":
        return _Index(self, self._git_dir / f"sheetanchor-index-{name}")

    def _run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = LOCAL,
        cwd: Path | None = None,
        index: Path | None = None,
        umask: int = 0o022,
        may_fail: bool = False,
    ) -> str:
        settings = [*_SAFE, f"protocol.{self._protocol()}.allow=always"]
        options = [word for setting in settings for word in ("-c", setting)]
        try:
            return process.run(
                ["git", *options, *argv],
                cwd=cwd or self.directory,
                timeout=timeout,
                env=_environment(index),
                mark=self.mark,
                user=self.owner(),
                umask=umask,
            )
        except CommandError as error:
            if may_fail:
                return ""
            raise CommandError(["git", *argv], _outcome(error), error.tail) from error

    def _protocol(self) -> str:
        url = self.clone_url or self._origin()
        scheme = re.match(r"^([a-z+]+)://", url)
        if scheme:
            return scheme.group(1)
        return "ssh" if _SCP_LIKE.match(url) else "file"

    def _origin(self) -> str:
        config = self._git_dir / "config"
        text = config.read_text(errors="replace") if config.exists() else ""
        found = re.search(r'\[remote "origin"\][^\[]*?\n\s*url\s*=\s*(\S+)', text)
        return found.group(1) if found else ""


class _Index:
    """A temporary index, so that the real one is never half changed."""

    def __init__(self, checkout: Checkout, path: Path) -> None:
        self._checkout = checkout
        self._path = path

    def __enter__(self) -> "_Index":
        self._clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def run(self, argv: Sequence[str], *, umask: int = 0o022) -> str:
        return self._checkout._run(argv, index=self._path, umask=umask)

    def _clear(self) -> None:
        self._path.unlink(missing_ok=True)
        self._path.with_name(f"{self._path.name}.lock").unlink(missing_ok=True)


_WHO = ("-c", "user.name=sheetanchor", "-c", "user.email=sheetanchor@localhost")


def _environment(index: Path | None) -> dict[str, str]:
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ControlMaster=no -o ControlPath=none",
        "GIT_LITERAL_PATHSPECS": "0",
    }
    return env | ({"GIT_INDEX_FILE": str(index)} if index else {})


def _excluded(paths: Iterable[str]) -> list[str]:
    return [f":(exclude,literal,top){path.rstrip('/')}" for path in paths]


def _left_over(paths: Mapping[str, str], written: Sequence[str]) -> list[str]:
    """Return the deleted paths that stay behind when the others are written.

    Where a file becomes a folder, or a folder a file, `checkout-index` makes room itself.
    """
    above = {str(folder) for path in written for folder in Path(path).parents}
    deleted = [path for path, status in paths.items() if status == "D" and path not in above]
    return [path for path in deleted if not {*map(str, Path(path).parents)} & {*written}]


def _between(path: Path, top: Path) -> Iterable[Path]:
    """Return the folders from a path's own up to, and without, `top`."""
    for folder in path.parents:
        if folder == top:
            return
        yield folder


def _chunks(paths: Sequence[str], size: int = 500) -> Iterable[Sequence[str]]:
    for start in range(0, len(paths), size):
        yield paths[start : start + size]


def _outcome(error: CommandError) -> str:
    return error.message.rpartition("` ")[2].rstrip(".")
