"""The work tree of a checkout: moved there and back, without touching data.

By plumbing (`read-tree`, `checkout-index`), never by `checkout` or
`reset --hard`: those would write below the data paths.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from worker.adapters.git_repository import WHO, Head, Repository, chunks, excluded
from worker.errors import StepError

__all__ = ["Checkout", "Head"]

ASIDES = "refs/sheetanchor/"


class Checkout(Repository):
    """A clone whose files a deployment moves."""

    def local_changes(self, deployment: str, *, without: Iterable[str]) -> str:
        """Keep tracked local changes and local commits; return the commit that holds them.

        A commit on top of HEAD, at `refs/sheetanchor/<deployment>`; the files
        and the real index stay as they are. Data paths are left out. Asked
        again, it returns the commit that it made the first time.
        """
        if already := self.kept(deployment):
            return already
        head = self.head().revision
        with self.index(deployment) as index:
            index.run(["read-tree", head])
            index.run(["add", "--update", "--", ".", *excluded(map(self._reached, without))])
            tree = index.run(["write-tree"]).strip()
        message = f"Local changes before deployment {deployment}"
        commit = self.run([*WHO, "commit-tree", tree, "-p", head, "-m", message]).strip()
        self.run(["update-ref", f"refs/sheetanchor/{deployment}", commit])
        return commit

    def _reached(self, path: str) -> str:
        """Return a path, or the link on the way to it: `git add` refuses one beyond that."""
        between = reversed([*_between(self.directory / path, self.directory)])
        link = next((one for one in between if one.is_symlink()), None)
        return str(link.relative_to(self.directory)) if link else path

    def keep_branch(self, deployment: str) -> None:
        """Keep where the branch points, if it is not where HEAD is; once."""
        mine, kept = f"refs/heads/{self.branch}", f"refs/sheetanchor/{deployment}-branch"
        there = self.ref(mine)  # a branch without a commit is none yet
        if there and self.head().ref != mine and not self.ref(kept):
            self.run(["update-ref", kept, there])

    def put_branch_back(self, deployment: str) -> None:
        """Point the branch to where `keep_branch` found it, if it did."""
        kept = self.ref(f"refs/sheetanchor/{deployment}-branch")
        if kept:
            with self.locks.ours():
                self.run(["update-ref", f"refs/heads/{self.branch}", kept])

    def asides(self) -> dict[str, str]:
        """Return name -> commit of what deployments kept, without what the remote has."""
        argv = ["for-each-ref", "--format=%(refname) %(objectname)", ASIDES]
        refs = dict(line.split(" ") for line in self.run(argv).splitlines())
        named = {name.removeprefix(ASIDES): commit for name, commit in refs.items()}
        return {name: commit for name, commit in named.items() if "/" not in name}

    def changes_of(self, commit: str) -> list[str]:
        """Return the paths that a commit of `local_changes` changed."""
        return sorted(self.changed(f"{commit}^", commit))

    def let_go(self, ref: str, commit: str) -> None:
        """Remove a ref, if it is what it was when somebody looked."""
        self.run(["update-ref", "-d", ref, commit])

    def move(self, before: str, after: str, head: Head, *, without: Sequence[str]) -> list[str]:
        """Make the work tree `after`, coming from `before`; then HEAD and index `head`.

        Only paths that differ between the two commits are written, each as a new
        file; nothing at or below the paths in `without` is. Can be run again
        after it was killed anywhere. Returns the paths.
        """
        self.locks.clear_own()
        paths = self.changed(before, after, without=without)
        with self.index(head.revision) as index:
            index.run(["read-tree", after])
            written = [path for path, status in paths.items() if status != "D"]
            for some in chunks(written):
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
        with self.index(f"added-{revision}") as index:
            index.run(["read-tree", revision])
            for some in chunks(new):
                index.run(["checkout-index", "--", *some])

    def export(self, revision: str, target: Path) -> None:
        """Write the revision's files into an empty folder, umask 022."""
        with self.index(f"export-{revision}") as index:
            index.run(["read-tree", revision])
            index.run(["checkout-index", "--all", "--force", f"--prefix={target}/"], umask=0o022)

    def _set_head(self, head: Head) -> None:
        """Point HEAD and its branch; the index last.

        A person's Git may hold the index's lock: the way back must not wait for it.
        """
        with self.locks.ours():
            if head.ref:
                self.run(["update-ref", head.ref, head.revision])
                self.run(["symbolic-ref", "HEAD", head.ref])
            else:
                self.run(["update-ref", "--no-deref", "HEAD", head.revision])
        with self.index(f"head-{head.revision}") as index:
            index.run(["read-tree", head.revision])
            index.run(["update-index", "-q", "--refresh"], may_fail=True)
            index.become_real()

    def _remove(self, path: str) -> None:
        """Delete a file and the folders that it leaves empty; follow no link."""
        full = self.directory / path
        if any(folder.is_symlink() for folder in _between(full, self.directory)):
            raise StepError(
                f"{path} lies behind a symbolic link.", remedy="Make it a real folder again."
            )
        if full.is_dir() and not full.is_symlink():
            return  # a submodule was there: what is in it is another repository's
        full.unlink(missing_ok=True)
        for folder in _between(full, self.directory):
            try:
                folder.rmdir()
            except OSError:
                return


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
