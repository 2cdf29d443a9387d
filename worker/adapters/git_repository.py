"""What a clone holds: its revisions, their files, and what the remote has."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.adapters.git_command import ASK, CLONE, REMOTE, GitCommand
from worker.errors import CommandError, GuardError

SUBMODULE = "160000 "  # the mode of such an entry in a tree
OWN_PACK = ("--upload-pack=git-upload-pack",)  # the settings may name another program
WHO = ("-c", "user.name=sheetanchor", "-c", "user.email=sheetanchor@localhost")


@dataclass(frozen=True)
class Head:
    """Where HEAD is: a revision, and the branch it names (None when detached)."""

    revision: str
    ref: str | None


class Repository(GitCommand):
    """A clone on this host, to read from. Its remote refs are all that ever moves."""

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
        self.ask_remote(argv, self.clone_url, timeout=CLONE, cwd=self.directory.parent)
        if self.directory.exists():
            self.directory.rmdir()
        partial.rename(self.directory)

    def fetch(self) -> str:
        """Bring the branch from the remote; return its head. Nothing else moves.

        Raises UnavailableError when the remote does not give it.
        """
        self.locks.clear_own()
        url = self.clone_url or "origin"
        kept = f"refs/sheetanchor/remote/{self.branch}"
        wanted = f"+refs/heads/{self.branch}:{kept}"
        argv = ["fetch", "--quiet", "--no-tags", "--force", *OWN_PACK, "--end-of-options"]
        argv += [url, wanted]
        self.ask_remote(argv, self.clone_url or self._origin(), timeout=REMOTE)
        return self.revision(kept)

    def ask_head(self) -> str:
        """Return the branch's head at the remote; nothing here moves, and no lock is needed.

        Raises UnavailableError when the remote does not say, GuardError when there is none.
        """
        url = self.clone_url or self._origin()
        if not url:
            raise GuardError(
                f"There is no remote to ask: {self.directory} has no origin.",
                remedy="Set clone_url in sheetanchor.toml.",
            )
        ref = f"refs/heads/{self.branch}"
        argv = ["ls-remote", "--quiet", *OWN_PACK, "--end-of-options", url, ref]
        lines = self.ask_remote(argv, url, timeout=ASK, cwd=self._nearest()).splitlines()
        for revision, _, name in (line.partition("\t") for line in lines):
            if name == ref:
                return revision
        raise self.no_branch(url)

    def revision(self, name: str) -> str:
        """Return the commit id that a name means. Raises CommandError if there is none."""
        argv = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        return self.run(argv).strip()

    def head(self) -> Head:
        """Return where HEAD is."""
        try:
            ref = self.run(["symbolic-ref", "--quiet", "HEAD"]).strip()
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
        with self.index("nothing") as index:
            index.run(["read-tree", "--empty"])
            tree = index.run(["write-tree"]).strip()
        return self.run([*WHO, "commit-tree", tree, "-m", "Nothing yet"]).strip()

    def describe(self, revision: str) -> tuple[str, str]:
        """Return a commit's author and the first line of its message."""
        shown = self.run(["show", "--no-patch", "--format=%an%n%s", revision]).split("\n")
        return shown[0][:200], shown[1][:500]

    def changed(self, before: str, after: str, *, without: Iterable[str] = ()) -> dict[str, str]:
        """Return path -> status letter (A, M, D, T) from one tree to another."""
        argv = ["diff-tree", "-r", "-z", "--no-renames", "--name-status", before, after, "--"]
        fields = self.run([*argv, ".", *excluded(without)]).split("\0")[:-1]
        return dict(zip(fields[1::2], fields[::2], strict=True))

    def touches(self, before: str, after: str, patterns: Sequence[str]) -> bool:
        """Return whether a path that differs between two trees matches one of the patterns.

        Git's own glob pathspecs: `*` stays within a folder, `**` does not, and a
        folder stands for all that is in it.
        """
        argv = ["diff-tree", "-r", "--no-renames", "--name-only", before, after, "--"]
        return bool(self.run([*argv, *(f":(glob,top){pattern}" for pattern in patterns)]))

    def messages(self, before: str, after: str) -> list[str]:
        """Return the whole messages of the commits that `after` has and `before` has not."""
        argv = ["log", "-z", "--format=%B", f"{before}..{after}", "--"]
        return self.run(argv).split("\0")[:-1]

    def commits(self, before: str, after: str) -> list[str]:
        """Return short id and first line of what `after` has and `before` has not, newest first."""
        return self._log(f"{before}..{after}")

    def edited(self, head: str, *, without: Iterable[str] = ()) -> list[str]:
        """Return the tracked files that differ from the head in the work tree.

        Not by the real index: it may hide edits (`update-index --skip-worktree`).
        """
        with self.index("edited") as index:
            index.run(["read-tree", head])
            index.run(["update-index", "-q", "--refresh"], may_fail=True)
            argv = ["diff-files", "--name-only", "-z", "--", ".", *excluded(without)]
            return index.run(argv).split("\0")[:-1]

    def own_commits(self, tip: str, known: Sequence[str]) -> list[str]:
        """Return short id and first line of the commits that were made here, newest first.

        Those that neither a known revision nor a remote-tracking branch has.
        """
        return self._log("--ignore-missing", tip, "--not", *known, "--remotes")

    def _log(self, *which: str) -> list[str]:
        argv = ["log", "-z", "--no-show-signature", "--format=%h %s", *which, "--"]
        return self.run(argv).split("\0")[:-1]

    def tracked(self, revision: str, paths: Sequence[str]) -> list[str]:
        """Return which files at or below these paths the revision tracks."""
        if not paths:
            return []
        argv = ["ls-tree", "-r", "-z", "--name-only", "--full-tree", revision, "--", *paths]
        return self.run(argv).split("\0")[:-1]

    def sizes(self, revision: str) -> dict[str, int]:
        """Return path -> bytes of the revision's files."""
        lines = self.run(["ls-tree", "-r", "-l", "-z", "--full-tree", revision]).split("\0")[:-1]
        entries = (line.split("\t", 1) for line in lines if not line.startswith(SUBMODULE))
        return {path: int(about.split()[3]) for about, path in entries}

    def submodules(self, revision: str) -> list[str]:
        """Return where the revision holds another repository's commit instead of files."""
        argv = ["ls-tree", "-r", "-z", "--full-tree", revision]
        entries = (entry.split("\t", 1) for entry in self.run(argv).split("\0")[:-1])
        return [path for about, path in entries if about.startswith(SUBMODULE)]

    def in_lfs(self, revision: str, paths: Sequence[str]) -> list[str]:
        """Return which of these paths the revision's attributes hand to Git LFS."""
        return [path for path, name in self._filtered(revision, paths).items() if name == "lfs"]

    def needs_filter(self, revision: str) -> dict[str, str]:
        """Return path -> filter of the files that this repository's Git would write through one.

        But for Git LFS, whose files tell of themselves (`in_lfs`).
        """
        programs = {
            name for name, keys in self.filters().items() if name != "lfs" and _writes(keys)
        }
        paths = self.tracked(revision, ["."]) if programs else []
        return {
            path: name for path, name in self._filtered(revision, paths).items() if name in programs
        }

    def _filtered(self, revision: str, paths: Sequence[str]) -> dict[str, str]:
        """Return path -> value of its attribute `filter`, `unspecified` and `unset` too."""
        if not paths:
            return {}
        found: dict[str, str] = {}
        with self.index("attributes") as index:
            index.run(["read-tree", revision])
            for some in chunks(paths):
                argv = ["check-attr", "--cached", "-z", "filter", "--", *some]
                fields = index.run(argv).split("\0")[:-1]
                found |= dict(zip(fields[::3], fields[2::3], strict=True))
        return found

    def has_ref(self, name: str) -> bool:
        """Return whether a revision, or what a name means, is in this clone."""
        try:
            return bool(self.revision(name))
        except CommandError:
            return False

    def kept(self, deployment: str) -> str | None:
        """Return the commit that `local_changes` made for a deployment, if it did."""
        return self.ref(f"refs/sheetanchor/{deployment}")

    def ref(self, name: str) -> str | None:
        """Return what a full ref points to; None when there is none.

        Raises CommandError when Git cannot tell: "none" would leave a person's work
        where the way back does not look.
        """
        argv = ["for-each-ref", "--format=%(refname) %(objectname)", name]
        found = dict(line.split(" ") for line in self.run(argv).splitlines())
        return found.get(name)


def excluded(paths: Iterable[str]) -> list[str]:
    """Return pathspecs that leave out what is at or below these paths."""
    return [f":(exclude,literal,top){path.rstrip('/')}" for path in paths]


def _writes(keys: Mapping[str, str]) -> bool:
    """Whether a filter changes what is checked out; some only clean what is committed."""
    return bool(keys.get("process")) or keys.get("smudge", "") not in ("", "cat")


def chunks(paths: Sequence[str], size: int = 500) -> Iterable[Sequence[str]]:
    """Yield the paths in parts that a command line has room for."""
    for start in range(0, len(paths), size):
        yield paths[start : start + size]
