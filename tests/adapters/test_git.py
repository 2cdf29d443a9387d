import os
import subprocess

import pytest

from worker.adapters.git import Checkout, Head
from worker.errors import CommandError, StepError, UnavailableError

WHO = ["-c", "user.name=t", "-c", "user.email=t@example.org"]


def git(cwd, *argv):
    return subprocess.run(
        ["git", *WHO, *argv], cwd=cwd, check=True, text=True, capture_output=True
    ).stdout.strip()


def put(folder, files, message="change"):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_text(content)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", message)
    git(folder, "push", "--quiet", "origin", "HEAD:main")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def clones(tmp_path):
    """A remote, a developer's clone, and a checkout at the first commit of two."""
    git(tmp_path, "init", "--quiet", "--bare", "-b", "main", "origin.git")
    git(tmp_path, "clone", "--quiet", "origin.git", "dev")
    first = {"a": "1", "gone/x": "x", "up/.gitkeep": "", "up/logo": "default", "odd ü\n": "o"}
    put(tmp_path / "dev", first)
    git(tmp_path, "clone", "--quiet", "origin.git", "checkout")
    put(tmp_path / "dev", {"a": "2", "gone/x": None, "new/y": "y", "up/logo": "newer"}, "two")
    return tmp_path


@pytest.fixture
def checkout(clones):
    return Checkout(clones / "checkout", "main", str(clones / "origin.git"), mark="test")


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and ".git/" not in str(path)
    }


def test_move_takes_code_there_and_back_and_leaves_data_and_local_changes(checkout):
    top = checkout.directory
    old, new = checkout.head(), checkout.fetch()
    (top / "up" / "logo").write_text("a user's")
    (top / "a").write_text("edited by hand")
    before = contents(top)

    kept = checkout.local_changes("d1", without=["up"])
    checkout.move(kept, new, Head(new, old.ref), without=["up"])
    there = contents(top)
    checkout.move(new, kept, old, without=["up"])

    assert (there["a"], there["up/logo"], there["new/y"]) == ("2", "a user's", "y")
    assert "gone/x" not in there
    assert contents(top) == before
    assert checkout.head() == old
    assert git(top, "status", "--porcelain").split() == ["M", "a", "M", "up/logo"]


def test_move_can_be_run_again_after_it_was_cut_short(checkout):
    old, new = checkout.head(), checkout.fetch()
    kept = checkout.local_changes("d1", without=["up"])
    (checkout.directory / "a").unlink()
    (checkout.directory / ".git" / "index.lock").touch()

    checkout.move(kept, new, Head(new, old.ref), without=["up"])
    checkout.move(kept, new, Head(new, old.ref), without=["up"])

    assert (checkout.directory / "a").read_text() == "2"
    assert checkout.local_changes("d1", without=["up"]) == kept


def test_export_is_readable_by_all_and_whole(checkout, tmp_path):
    target = tmp_path / "export"
    target.mkdir()
    checkout.export(checkout.fetch(), target)

    assert contents(target) == {
        "a": "2",
        "new/y": "y",
        "up/.gitkeep": "",
        "up/logo": "newer",
        "odd ü\n": "o",
    }
    assert (target / "new" / "y").stat().st_mode & 0o777 == 0o644


def test_branch_named_like_an_option_is_a_branch(clones):
    """`git fetch origin --upload-pack=…` runs a program (measured)."""
    canary = clones / "canary"
    evil = f"--upload-pack=touch {canary}"
    for branch in (evil, "$(touch canary)"):
        bad = Checkout(clones / "checkout", branch, str(clones / "origin.git"))
        with pytest.raises(UnavailableError):
            bad.fetch()
        with pytest.raises(CommandError):
            bad.revision(branch)
    assert not canary.exists()


def test_hooks_and_fsmonitor_of_the_checkout_do_not_run(checkout, tmp_path):
    canary = tmp_path / "canary"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {canary}\n")
    script.chmod(0o755)
    hook = checkout.directory / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    os.symlink(script, hook)
    git(checkout.directory, "config", "core.fsmonitor", str(script))
    canary.unlink(missing_ok=True)

    old, new = checkout.head(), checkout.fetch()
    checkout.move(old.revision, new, Head(new, old.ref), without=[])

    assert not canary.exists()


def test_other_protocols_than_the_clone_addresss_are_refused(clones):
    bad = Checkout(clones / "checkout", "main", "ext::sh -c touch% canary")
    with pytest.raises(UnavailableError):
        bad.fetch()


def test_clone_of_an_empty_repository_has_a_head(tmp_path):
    git(tmp_path, "init", "--quiet", "--bare", "-b", "main", "origin.git")
    git(tmp_path, "clone", "--quiet", "origin.git", "checkout")
    empty = Checkout(tmp_path / "checkout", "main", str(tmp_path / "origin.git"))
    git(tmp_path, "clone", "--quiet", "origin.git", "dev")
    put(tmp_path / "dev", {"a": "1"})

    head, new = empty.head(), empty.fetch()
    kept = empty.local_changes("d1", without=[])
    empty.move(kept, new, Head(new, head.ref), without=[])

    assert (tmp_path / "checkout" / "a").read_text() == "1"
    assert git(tmp_path / "checkout", "status", "--porcelain") == ""


def test_git_runs_as_the_owner_of_the_checkout(checkout, clones):
    for folder in (clones, *list(clones.parents)[:-2]):
        folder.chmod(0o755)
    for place, folders, files in os.walk(clones):
        for name in [*folders, *files, "."]:
            os.lchown(os.path.join(place, name), 12345, 12345)
    old, new = checkout.head(), checkout.fetch()
    checkout.move(old.revision, new, Head(new, old.ref), without=[])

    assert (checkout.directory / "new" / "y").stat().st_uid == 12345


def test_edits_that_the_real_index_hides_are_seen(checkout):
    """`--skip-worktree` is how people keep a tracked file as this host needs it."""
    top = checkout.directory
    git(top, "update-index", "--skip-worktree", "a")
    (top / "a").write_text("edited")
    (top / "gone" / "x").unlink()
    os.utime(top / "up" / "logo")
    assert git(top, "diff", "--name-only") == "gone/x"

    assert checkout.edited(checkout.head().revision) == ["a", "gone/x"]


def test_submodule_that_a_revision_drops_keeps_its_files(checkout):
    """Deployed by hand before, with its submodules."""
    top, dev = checkout.directory, checkout.directory.parent / "dev"
    entry = f"160000,{git(dev, 'rev-parse', 'HEAD')},theme"
    git(dev, "update-index", "--add", "--cacheinfo", entry)
    git(dev, "commit", "--quiet", "-m", "with a submodule")
    git(dev, "push", "--quiet", "origin", "HEAD:main")
    git(top, "pull", "--quiet", "--ff-only")
    (top / "theme" / "style.css").write_text("theirs")
    assert checkout.submodules("HEAD") == ["theme"]
    git(dev, "rm", "--cached", "--quiet", "theme")
    new = put(dev, {"b": "b"})

    old = checkout.head()
    checkout.fetch()
    kept = checkout.local_changes("d1", without=[])
    checkout.move(kept, new, Head(new, old.ref), without=[])

    assert (top / "theme" / "style.css").read_text() == "theirs"
    assert (top / "b").read_text() == "b"
    checkout.move(new, kept, old, without=[])
    assert checkout.head() == old


def test_git_that_cannot_tell_is_not_taken_for_nothing_kept(checkout, tmp_path, monkeypatch):
    """The way back would leave the checkout at the new revision, and call that well."""
    kept = checkout.local_changes("d1", without=[])
    assert (checkout.kept("d1"), checkout.kept("d")) == (kept, None)
    broken = tmp_path / "bin" / "git"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 128\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(broken.parent), prepend=os.pathsep)

    for ask in (checkout.kept, checkout.keep_branch, checkout.put_branch_back):
        with pytest.raises(CommandError, match="exited 128"):
            ask("d1")


def test_branch_that_a_person_left_is_kept_and_points_to_its_commits_again(checkout):
    """HEAD was detached, and the branch has a commit that no remote has."""
    top, new = checkout.directory, checkout.fetch()
    git(top, "commit", "--quiet", "--allow-empty", "-m", "Mine")
    mine = git(top, "rev-parse", "main")
    git(top, "checkout", "--quiet", "--detach", "HEAD~1")
    old = checkout.head()

    kept = checkout.local_changes("d1", without=[])
    checkout.keep_branch("d1")
    git(top, "update-ref", "refs/heads/main", new)  # and then it was killed
    checkout.keep_branch("d1")
    checkout.move(kept, new, Head(new, "refs/heads/main"), without=[])
    assert git(top, "rev-parse", "main", "refs/sheetanchor/d1-branch").split() == [new, mine]
    checkout.move(new, kept, old, without=[])
    checkout.put_branch_back("d1")

    assert git(top, "rev-parse", "main", "HEAD").split() == [mine, old.revision]
    assert checkout.head() == old


def test_nothing_is_removed_through_a_symbolic_link(checkout, tmp_path):
    old, new = checkout.head(), checkout.fetch()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("mine")
    (checkout.directory / "gone" / "x").unlink()
    (checkout.directory / "gone").rmdir()
    (checkout.directory / "gone").symlink_to(outside)

    with pytest.raises(StepError, match="symbolic link"):
        checkout.move(old.revision, new, Head(new, old.ref), without=[])
    assert (outside / "x").read_text() == "mine"


def test_local_changes_are_kept_also_where_data_lies_behind_a_link(checkout, tmp_path):
    top, old = checkout.directory, checkout.head()
    (top / "up").rename(tmp_path / "disk")
    (top / "up").symlink_to(tmp_path / "disk")
    (top / "a").write_text("edited by hand")

    kept = checkout.local_changes("d1", without=["up/users/images"])

    assert checkout.changed(old.revision, kept) == {"a": "M"}


@pytest.mark.parametrize(
    ("old", "new"), [("thing", "thing/inner"), ("thing/inner", "thing")], ids=["grows", "shrinks"]
)
def test_file_and_folder_of_one_name_take_each_others_place(checkout, old, new):
    """Each move twice: as after a kill."""
    top, dev = checkout.directory, checkout.directory.parent / "dev"
    before = put(dev, {old: "1"})
    git(dev, "rm", "-r", "--quiet", "thing")
    after = put(dev, {new: "2"})
    checkout.fetch()
    checkout.move(checkout.head().revision, before, Head(before, "refs/heads/main"), without=[])
    for start, end, there in [(before, after, new)] * 2 + [(after, before, old)] * 2:
        checkout.move(start, end, Head(end, "refs/heads/main"), without=[])
        assert [p for p in top.glob("thing/**/*") if p.is_file()] == [top / there] * ("/" in there)
        assert (top / there).is_file()


@pytest.mark.parametrize("name", ["evil", "a=b", "a.b"])
@pytest.mark.parametrize("key", ["smudge", "clean", "process"])
def test_filter_planted_in_the_repositorys_settings_never_runs(clones, checkout, name, key):
    top, ran = checkout.directory, clones / "ran"
    git(top, "config", f"filter.{name}.{key}", f"touch {ran}; cat")
    git(top, "config", f"filter.{name}.required", "true")
    (top / ".git" / "info" / "attributes").write_text(f"* filter={name}\n")
    (top / "a").write_text("edited by hand")
    old, new = checkout.head(), checkout.fetch()
    (clones / "work").mkdir()

    checkout.edited(old.revision)
    checkout.export(new, clones / "work")
    kept = checkout.local_changes("d1", without=["up"])
    checkout.move(kept, new, Head(new, old.ref), without=["up"])
    checkout.add_missing(new, old.revision, ["up"])

    assert not ran.exists()
    assert (top / "a").read_text() == (clones / "work" / "a").read_text() == "2"
    assert git(top, "show", f"{kept}:a") == "edited by hand"


def test_files_that_a_filter_would_write_are_named(clones, checkout):
    top = checkout.directory
    attributes = {".gitattributes": "a filter=crypt\nnew/* filter=stripped\nup/* filter=lfs\n"}
    revision = put(clones / "dev", attributes)
    checkout.fetch()
    assert checkout.needs_filter(revision) == {}
    for filter_ in ("lfs", "crypt"):
        git(top, "config", f"filter.{filter_}.smudge", "decrypt")
    git(top, "config", "filter.stripped.smudge", "cat")

    assert checkout.needs_filter(revision) == {"a": "crypt"}


def test_programs_of_the_repositorys_settings_are_not_run_for_the_remote(clones, checkout):
    top, ran = checkout.directory, clones / "ran"
    for remote in ("origin", checkout.clone_url):
        git(top, "config", f"remote.{remote}.uploadpack", f"touch {ran}; git-upload-pack")
    git(top, "config", "core.sshCommand", f"touch {ran}; ssh")
    git(top, "config", "log.showSignature", "true")
    git(top, "config", "gpg.program", f"touch {ran}; gpg")

    checkout.describe(checkout.fetch())
    assert checkout.ask_head() == checkout.fetch()
    Checkout(top, "main").fetch()

    assert not ran.exists()
