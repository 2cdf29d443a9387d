"""What a revision's files, and the checkout's own state, may not cost a person.

Each guard by a real push that changes nothing, and a second one after its remedy.
"""

import re
import shutil
import subprocess

import pytest

from tests.e2e.test_surroundings import COMPOSE, refused
from tests.e2e.world import WHO, World, release, until

MOUNTED = COMPOSE + "    volumes: ['./uploads:/app/uploads']\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory, mongod):
    """One world for all: what is refused leaves it as it was, what succeeds is gone on from."""
    made = World(tmp_path_factory.mktemp("world"), mongod, health={"timeout": 90})
    try:
        made.commit({"docker-compose.yml": MOUNTED})
        made.begin()
        yield made
    finally:
        made.close()


def refused_unchanged(world, files, step, *words):
    """Push files; they must be refused with these words, and nothing be changed.

    But for the pins of old releases: among so many pushes some grow too old.
    """
    before, version = world.fingerprint(), world.version()
    ended = refused(world, world.push(files), step, *words)
    assert (world.fingerprint(), world.version()) == (before, version)
    return ended


def succeeds(world, files):
    """Push files; they must be deployed, and leave the data and the env file as they were."""
    before = world.fingerprint()
    ended = world.wait(world.push(files))
    assert ended["status"] == "succeeded", ended
    assert world.git("rev-parse", "HEAD", cwd=world.checkout) == ended["revision"]
    after = world.fingerprint()
    assert [before[key] for key in ("env", "uploads", "database")] == [
        after[key] for key in ("env", "uploads", "database")
    ]
    return ended


def command_in(remedy, begin):
    """Return the command of a remedy that begins with these words."""
    return re.search(f"`({re.escape(begin)}[^`]*)`", remedy)[1].split()


def test_lock_of_a_persons_git_is_refused_and_its_remedy_helps(world):
    lock = world.checkout / ".git" / "index.lock"
    lock.touch()
    (lock.parent / "HEAD.lock").touch()
    two = {"release.json": release("two")}

    ended = refused_unchanged(world, two, "preflight", str(lock), "was killed")

    assert lock.exists()
    subprocess.run(command_in(ended["error"]["remedy"], "rm "), check=True)
    succeeds(world, {"app.py": (world.clone / "app.py").read_text() + "# three\n"})
    assert world.version() == "two"


def test_git_folder_elsewhere_or_half_way_is_refused_and_each_remedy_helps(world):
    top, elsewhere = world.checkout, world.home / "elsewhere.git"
    world.git("init", "--quiet", "--separate-git-dir", str(elsewhere), str(top))
    branches = world.git("show-ref", cwd=top)
    ended = refused_unchanged(
        world, {"more.txt": "1"}, "preflight", "is a file", str(elsewhere), "worktree"
    )

    subprocess.run(command_line_in(ended["error"]["remedy"]), shell=True, check=True)
    elsewhere.rename(world.home / "nobody needs it")
    assert world.git("show-ref", cwd=top) == branches
    other = world.git("commit-tree", "HEAD^{tree}", "-p", "HEAD~1", "-m", "Other", cwd=top)
    world.git("merge", "--quiet", "--no-ff", "--no-commit", other, cwd=top)
    ended = refused_unchanged(world, {"more.txt": "2"}, "preflight", "`git merge`", "half done")

    subprocess.run(command_in(ended["error"]["remedy"], "git -C"), check=True)
    succeeds(world, {"more.txt": "3"})
    assert (top / ".git").is_dir()


def command_line_in(remedy):
    """Return the one command line of a remedy, as a person pastes it into a shell."""
    return remedy.partition("`")[2].partition("`")[0]


def test_submodule_is_refused_and_its_files_are_taken(world):
    world.git("init", "--quiet", str(world.clone / "theme"))
    (world.clone / "theme" / "style.css").write_text("a {}")
    world.git("add", "--all", cwd=world.clone / "theme")
    world.git("commit", "--quiet", "-m", "theme", cwd=world.clone / "theme")

    ended = refused_unchanged(world, {}, "pull", "submodules", "theme")

    remedy = ended["error"]["remedy"]
    world.git(*command_in(remedy, "git rm")[1:])
    assert "remove theme/.git" in remedy
    shutil.rmtree(world.clone / "theme" / ".git")
    world.git(*command_in(remedy, "git add")[1:])
    succeeds(world, {})
    assert (world.checkout / "theme" / "style.css").read_text() == "a {}"


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"


def test_lfs_pointers_are_refused_and_the_files_themselves_are_taken(world):
    """Raw files, and pointers that no attribute hands to LFS, are just files."""
    files = {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"}
    files |= {"big.bin": POINTER, "raw.bin": "raw", "pointer.txt": POINTER}

    ended = refused_unchanged(world, files, "pull", "big.bin in Git LFS")

    assert not {"raw.bin", "pointer.txt"} & {*re.split(r"[\s,]+", ended["error"]["message"])}
    assert (
        "Take them out of .gitattributes, add the files themselves, and push"
        in (ended["error"]["remedy"])
    )
    succeeds(world, {".gitattributes": None, "big.bin": "the file itself"})
    assert (world.checkout / "big.bin").read_text() == "the file itself"


def test_lfs_pointers_that_a_person_does_without_are_deployed(world):
    files = {".gitattributes": "*.psd filter=lfs -text\n", "art/logo.psd": POINTER}
    ended = refused_unchanged(world, files, "pull", "art/logo.psd")

    run = ended["error"]["remedy"].partition("run `")[2].partition("`")[0]
    subprocess.run(run, shell=True, check=True)

    succeeds(world, {"more.txt": "more"})


def test_files_for_a_filter_are_refused_and_that_filter_is_never_run(world):
    ran = world.home / "ran"
    world.git("config", "filter.crypt.smudge", f"touch {ran}; cat", cwd=world.checkout)
    files = {".gitattributes": "*.secret filter=crypt\n", "key.secret": "encrypted"}
    ended = refused_unchanged(world, files, "pull", "key.secret (crypt)", ".git/config")

    remedy = ended["error"]["remedy"]
    subprocess.run(command_in(remedy, "git -C"), check=True)
    assert "config --remove-section filter.crypt" in remedy
    succeeds(world, {"more.txt": "filtered"})
    assert not ran.exists()


def test_change_under_uploads_is_refused_and_reverting_it_helps(world):
    files = {"uploads/upload-1.txt": "theirs"}
    ended = refused_unchanged(world, files, "pull", "upload-1.txt", "data path uploads")
    assert "revert that change" in ended["error"]["remedy"]

    world.git("revert", "--no-edit", "HEAD")
    succeeds(world, {})


def test_untracked_file_in_the_way_is_refused_and_moving_it_helps(world):
    """All of them at once: one push for each would try a person's patience."""
    mine = [world.checkout / name for name in ("notes", "notes.txt")]
    for path in mine:
        path.write_text("a person's")
    theirs = {"notes.txt": "theirs", "notes/of/today.txt": "theirs"}
    ended = refused_unchanged(world, theirs, "pull", "files notes, notes.txt")
    assert f"Move {mine[0]}, {mine[1]} away" in ended["error"]["remedy"]

    for path in mine:
        path.rename(world.home / path.name)
    succeeds(world, {})
    assert mine[1].read_text() == "theirs"


def test_link_in_place_of_a_folder_is_refused_and_its_remedy_keeps_it(world):
    """Git would put the revision's folder there, and the app find that one's files only."""
    succeeds(world, {"shelf/README": "theirs"})
    shelf, disk = world.checkout / "shelf", world.home / "disk"
    shelf.rename(disk)
    shelf.symlink_to(disk)
    (disk / "book").write_text("a user's")

    ended = refused_unchanged(world, {"more.txt": "link"}, "pull", "shelf is a link to", str(disk))

    world.git(*command_in(ended["error"]["remedy"], "git rm")[1:])
    shutil.rmtree(world.clone / "shelf")
    succeeds(world, {".gitignore": (world.clone / ".gitignore").read_text() + "/shelf\n"})
    assert (shelf.readlink(), (shelf / "book").read_text()) == (disk, "a user's")


SETTINGS = """    env_file: ['settings/${KIND:-web}.env']
    secrets: [word]
secrets: {word: {file: settings/word}}
"""


def test_edited_tracked_settings_are_refused_and_the_remedy_keeps_what_was_written(world):
    """A sample's values would be deployed in place of this host's."""
    page = "'./settings/page:/page:ro', './uploads"
    reads = MOUNTED.replace("'./uploads", page) + SETTINGS
    files = {"web.env": "GREETING=sample\n", "word": "sample", "page": "a page"}
    settings = {f"settings/{name}": text for name, text in files.items()}
    succeeds(world, {"docker-compose.yml": reads, **settings})
    there = world.checkout / "settings"
    (there / "web.env").write_text("GREETING=mine\n")
    (there / "word").write_text("mine")
    world.compose("up", "-d", "--force-recreate")
    until(world.version, "the app answers")

    names = "settings/web.env, settings/word,"
    ended = refused_unchanged(
        world, {"more.txt": "again"}, "pull", names, "was edited in the checkout"
    )

    remedy = ended["error"]["remedy"]
    world.git(*command_in(remedy, "git rm")[1:])
    assert "ignore it" in remedy
    ignored = (world.clone / ".gitignore").read_text() + "settings/\n"
    shutil.rmtree(world.clone / "settings")  # what is only mounted is tracked no longer, too
    succeeds(world, {".gitignore": ignored})
    assert (there / "web.env").read_text() == "GREETING=mine\n"
    assert world.environment()["GREETING"] == "mine"
    assert world.ask_app("/file/run/secrets/word") == "mine"
    assert world.ask_app("/file/page") == "a page"
    assert "settings" not in world.git("status", "--porcelain", cwd=world.checkout)


def test_tracked_env_file_is_refused_and_its_remedy_helps(world):
    ignored = (world.clone / ".gitignore").read_text()
    theirs = {".gitignore": "backups/\n", ".env.production": "MONGODB_URI=mongodb://x/y\n"}
    ended = refused_unchanged(world, theirs, "pull", "tracks the env file .env.production")

    world.git(*command_in(ended["error"]["remedy"], "git rm")[1:])
    (world.clone / ".env.production").unlink()
    succeeds(world, {".gitignore": ignored})


def test_local_commits_are_kept_and_named_and_come_back_with_the_old_version(world):
    """The env file is in the commit, too: it stays where it is when the commit goes."""
    server = world.checkout
    (server / "hotfix.txt").write_text("made on the server")
    world.git("add", "--force", "hotfix.txt", ".env.production", cwd=server)
    world.git("commit", "--quiet", "-m", "Mend it here", cwd=server)
    commit = world.git("rev-parse", "--short", "HEAD", cwd=server)
    before = world.fingerprint()
    bad = world.wait(world.push({"release.json": release("bad", mode="exits")}))
    assert bad["status"] == "rolled_back", bad
    assert world.fingerprint() == before

    good = succeeds(world, {"release.json": release("good")})

    kept = f"refs/sheetanchor/{good['id']}"
    assert good["warnings"] == [f"Local commits {commit} Mend it here were set aside as {kept}."]
    assert world.git("show", f"{kept}:hotfix.txt", cwd=server) == "made on the server"
    assert "Mend it here" in world.git("log", "--format=%s", kept, cwd=server).splitlines()
    assert not (server / "hotfix.txt").exists()
    assert world.version() == "good"


def run_by_hand(world, ended):
    """Run the commands that the remedy gives, in a folder of no meaning; the app answers then."""
    for command in re.findall(r"`(docker [^`]*)`", ended["error"]["remedy"]):
        subprocess.run(command, shell=True, cwd="/", check=True, capture_output=True)
    until(world.version, "the app answers")


def test_containers_of_other_settings_are_refused_and_the_command_given_helps(world):
    """One was started from another file by hand, and one is of a service that no file has."""
    other = world.home / "other.yml"
    helper = "{image: 'sheetanchor-base:1', command: ['sleep', '900'], init: true}"
    other.write_text(f"services:\n  web: {{environment: {{X: x}}}}\n  helper: {helper}\n")
    world.compose("-f", "docker-compose.yml", "-f", str(other), "up", "-d")
    until(world.version, "the app answers")

    words = ("other settings of web", "helper", f"-f docker-compose.yml -f {other}")
    ended = refused_unchanged(world, {"more.txt": "5"}, "preflight", *words)

    run_by_hand(world, ended)
    succeeds(world, {"more.txt": "6"})


def test_removed_image_of_what_runs_is_refused_and_the_command_given_helps(world):
    world.compose("stop")
    image = world.containers()["web-1"][1]
    subprocess.run(["docker", "rmi", "--force", image], check=True, capture_output=True)

    ended = refused_unchanged(world, {"more.txt": "7"}, "build", "was removed from Docker")

    run_by_hand(world, ended)
    succeeds(world, {"more.txt": "8"})


def test_persons_git_is_let_work_and_nothing_is_stopped_for_it(world):
    """It began while the build ran: a `git commit` whose editor is open."""
    slow = (world.clone / "Dockerfile").read_text().replace("COPY", "RUN sleep 6\nCOPY", 1)
    edited, opened = world.checkout / "app.py", world.home / "opened"
    ids = world.compose("ps", "-q").stdout
    identity = world.push({"Dockerfile": slow})
    world.wait_for_step(identity, "build")
    edited.write_text(edited.read_text() + "# edited on the server\n")
    wait = f"touch {opened}; while [ -e {opened} ]; do sleep 0.1; done; echo Mine >$0"
    argv = ["git", *WHO, "-c", f"core.editor=sh -c '{wait}'", "commit", "--quiet", "-a"]
    with subprocess.Popen(argv, cwd=world.checkout) as child:
        try:
            until(opened.exists, "the editor is open")
            ended = refused(world, identity, "build", f"process {child.pid}", "index.lock")
            assert "Let it end, then deploy again" in ended["error"]["remedy"]
            assert world.compose("ps", "-q").stdout == ids
        finally:
            opened.unlink(missing_ok=True)
        assert child.wait() == 0

    commit = world.git("rev-parse", "--short", "HEAD", cwd=world.checkout)
    ended = succeeds(world, {"more.txt": "9"})

    kept = f"refs/sheetanchor/{ended['id']}"
    assert ended["warnings"] == [f"Local commits {commit} Mine were set aside as {kept}."]
