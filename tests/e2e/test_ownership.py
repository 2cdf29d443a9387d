"""Owners and modes: the caller's umask is 077, the checkout another user's, the app not root.

One world through a whole life: what a container could not read would not serve.
"""

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.e2e.test_checkout_guards import command_in
from tests.e2e.test_surroundings import COMPOSE, refused
from tests.e2e.world import World, release

SOMEBODY = 54321  # nobody's number
MOUNTED = f"""{COMPOSE}    user: "{SOMEBODY}:{SOMEBODY}"
    volumes: ["./uploads:/app/uploads", "./motd.txt:/app/motd.txt:ro"]
"""
DOCKERFILE = 'FROM sheetanchor-base:1\nCOPY . /app/\nCMD ["python3", "/app/app.py"]\n'
IGNORED = "backups/\n.git/\nuploads/\n.env.production\n"
MIGRATION = """
(uploads / "upload-2.txt").unlink()
(uploads / "upload-3.txt").write_text("overwritten")
(uploads / "folder" / "inner.txt").chmod(0o600)
(uploads / "new.txt").write_text("new")
"""


@pytest.fixture(scope="module")
def world(mongod):
    """Version one by a push into a checkout of somebody's, in which they may work on.

    Not below pytest's folder: each run of pytest takes that from all others again.
    """
    home = Path(tempfile.mkdtemp(prefix="sheetanchor-"))
    home.chmod(0o755)
    options = {"build_files": ["key", "built"]}
    made = World(home, mongod, health={"timeout": 90}, app=options)
    settings = home / "gitconfig"  # for this test's own Git only; sheetanchor's reads none
    settings.write_text("[safe]\n\tdirectory = *\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(settings))
        try:
            begin(made)
            yield made
        finally:
            made.close()
            shutil.rmtree(home)


def begin(world):
    ignore = {".gitignore": ".env.production\nbackups/\nkey\nbuilt/\n", ".dockerignore": IGNORED}
    files = {"docker-compose.yml": MOUNTED, "Dockerfile": DOCKERFILE, "motd.txt": "hello one"}
    world.commit(files | ignore)
    world.prepare()
    (world.checkout / "key").write_text("of this host")
    (world.checkout / "built").mkdir()
    (world.checkout / "built" / "page.html").write_text("a page")
    for top in (world.origin, world.checkout):
        for place, folders, files in os.walk(top):
            for name in [*folders, *files, "."]:
                os.lchown(os.path.join(place, name), SOMEBODY, SOMEBODY)
    before = os.umask(0o077)
    try:
        world.up()
    finally:
        os.umask(before)
    first = world.wait(world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"])
    assert first["status"] == "succeeded", first
    world.fill()
    for place, folders, files in os.walk(world.uploads):
        for name in [*folders, *files, "."]:
            os.lchown(os.path.join(place, name), SOMEBODY, SOMEBODY)
    (world.uploads / "upload-4.txt").chmod(0o600)


def owned(world):
    """Return path -> owner and mode of all in the checkout; backups and Git's inside left out."""
    found = {}
    for place, folders, files in os.walk(world.checkout):
        folders[:] = [name for name in folders if name not in (".git", "backups")]
        for name in [*folders, *files]:
            about = os.lstat(os.path.join(place, name))
            path = os.path.relpath(os.path.join(place, name), world.checkout)
            found[path] = (about.st_uid, oct(stat.S_IMODE(about.st_mode)))
    return found


def others_files(world):
    """Return what in Git's folder is not its user's: that user's next commit would fail."""
    inside = (world.checkout / ".git").rglob("*")
    return [str(path) for path in inside if path.lstat().st_uid != SOMEBODY]


def serves(world, version):
    """The app answers as this version, reads its files as its own user, and writes."""
    assert world.version() == version
    assert world.ask_app("/file/app/motd.txt") == f"hello {version}"
    assert world.ask_app("/file/app/key") == "of this host"
    assert world.ask_app("/file/app/built/page.html") == "a page"
    assert world.post(f"/files/by-{version}.txt", b"x")
    assert (world.uploads / f"by-{version}.txt").stat().st_uid == SOMEBODY
    (world.uploads / f"by-{version}.txt").unlink()


def test_whole_life_of_an_app_of_another_user_keeps_owners_and_modes(world):
    serves(world, "one")
    before, mine = world.fingerprint(), owned(world)

    bad = {"release.json": release("bad", mode="exits"), "migration.py": MIGRATION}
    ended = world.wait(world.push({**bad, "motd.txt": "hello bad", "folder/new.txt": "new"}))

    assert ended["status"] == "rolled_back", ended
    assert world.fingerprint() == before
    assert owned(world) == mine
    serves(world, "one")

    files = {"release.json": release("two"), "migration.py": None, "motd.txt": "hello two"}
    ended = world.wait(world.push(files))

    assert ended["status"] == "succeeded", ended
    after = owned(world)
    assert {owner for owner, _ in after.values()} == {SOMEBODY}
    assert [after[path] for path in ("motd.txt", "folder/new.txt", "folder")] == [
        (SOMEBODY, "0o644"),
        (SOMEBODY, "0o644"),
        (SOMEBODY, "0o755"),
    ]
    assert others_files(world) == []
    serves(world, "two")

    world.cli("rollback", world.name, check=0, umask=0o077)

    assert owned(world) == {path: about for path, about in after.items() if path in mine}
    serves(world, "one")

    (world.uploads / "upload-4.txt").unlink()
    (world.uploads / "folder" / "inner.txt").unlink()
    (world.uploads / "folder").rmdir()
    world.cli("restore", world.name, "--only", "uploads", "--yes", check=0, umask=0o077)

    assert owned(world) == {path: about for path, about in after.items() if path in mine}
    assert others_files(world) == []


def test_what_root_made_in_the_checkout_is_refused_and_its_remedy_helps(world):
    """As a `sudo git pull` leaves it; half moved, neither version could be brought up."""
    objects = next(one for one in (world.checkout / ".git" / "objects").iterdir())
    for place, step in ((objects, "preflight"), (world.checkout / "folder", "pull")):
        os.chown(place, 0, 0)
        before = world.fingerprint()
        identity = world.push({"folder/new.txt": f"changed for {step}"})
        ended = refused(world, identity, step, f"user {SOMEBODY}", str(place))
        assert world.fingerprint() == before

        subprocess.run(command_in(ended["error"]["remedy"], "chown "), check=True)
        ended = world.wait(world.push({"more.txt": step}))
        assert ended["status"] == "succeeded", ended


def test_missing_build_file_is_named_with_its_key_and_writing_it_helps(world):
    key = world.checkout / "key"
    key.rename(world.home / "key")
    before = world.fingerprint()
    refused(world, world.push({"more.txt": "1"}), "pull", "build_files", f"{key} does not exist")
    assert world.fingerprint() == before

    (world.home / "key").rename(key)
    ended = world.wait(world.push({"more.txt": "2"}))

    assert ended["status"] == "succeeded", ended
