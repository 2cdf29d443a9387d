"""Copies at other places: what comes home is exactly what was made, or is refused."""

import os
import shutil
import signal
import subprocess
import tarfile

import pytest

from tests.backups.support import tree, until
from worker.backups import catalogue, offsite
from worker.backups.offsite import parts as parts_of
from worker.backups.verify import verify
from worker.errors import BackupError, ConfigError, UnavailableError, UsageError
from worker.targets import parse

KINDS = ["rclone", "rsync", "ssh"]
SSH = """#!/bin/sh
# as ssh: the words after the host are one command for a shell
while [ "$1" != "--" ] && [ "$1" != "backups" ]; do
    case "$1" in -o) shift 2 ;; *) shift ;; esac
done
[ "$1" != "--" ] || shift
shift
exec sh -c "$*"
"""


def quiet(line):
    del line


@pytest.fixture
def full(thynk):
    """An app whose files are as odd as they get, and some documents."""
    thynk.db.people.insert_many([{"n": n} for n in range(50)])
    top = thynk.uploads
    (top / "private").mkdir(mode=0o750)
    (top / "private" / "deep").mkdir()
    (top / "private" / ("long-" * 30)).write_text("long")
    (top / "private" / "card.json").write_text("")
    (top / "empty").mkdir()
    (top / "link").symlink_to("../../../outside")
    (top / "a\nb '$(x)").write_text("odd")
    with open(os.fsencode(top) + b"/latin-\xe9", "wb") as file:
        file.write(b"\0" * 300_000)
    (top / "photo.jpg").chmod(0o640)
    os.chown(top / "photo.jpg", 1234, 1235)
    os.utime(top / "photo.jpg", ns=(1, 1_234_567_890_123_456_789))
    return thynk


@pytest.fixture
def target(request, tmp_path, monkeypatch):
    there = tmp_path / "there"
    there.mkdir()
    if request.param == "ssh":
        fake = tmp_path / "bin"
        fake.mkdir()
        (fake / "ssh").write_text(SSH)
        (fake / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
        return parse(f"rsync:backups:{there}")
    scheme = "rclone::local:" if request.param == "rclone" else "rsync:"
    return parse(f"{scheme}{there}")


@pytest.fixture
def there(target, tmp_path, monkeypatch):
    monkeypatch.setattr(parts_of, "SIZE", 250_000)
    monkeypatch.setenv("RCLONE_CONFIG", str(tmp_path / "rclone.conf"))
    return offsite.place(target, tmp_path / "scratch", "offsite-thynk")


@pytest.fixture
def disk():
    """Make a folder a disk of its own, as root may, or give that disk another size."""
    made = []

    def sized(folder, size):
        how = f"remount,size={size}" if folder in made else f"size={size}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", folder], check=True)
        made.append(folder)

    yield sized
    subprocess.run(["umount", made[0]], check=True)


def kept(backup):
    """Return a backup's files, with the times that a restore gives back: those of uploads."""
    found = tree(backup)
    dated = {
        key for key in found if key.startswith(b"uploads/") and isinstance(found[key][0], bytes)
    }
    return {key: one if key in dated else one[:4] for key, one in found.items()}


def written(path):
    """Return what a second writing of the same would change."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


@pytest.mark.parametrize("target", KINDS, indirect=True)
def test_what_comes_home_is_exactly_what_was_made(full, there, target, tmp_path):
    backup = full.backup()
    as_made = kept(backup.path)

    assert offsite.push(there, target, backup, quiet)
    assert not offsite.push(there, target, backup, quiet), "it is there"
    [card] = there.cards()
    home = offsite.pull(there, card, tmp_path / "home", quiet)

    assert (card.app, card.id, card.kind, card.bytes) == (
        "thynk",
        backup.id,
        "manual",
        backup.bytes,
    )
    assert kept(home) == as_made
    assert home.name == backup.id
    assert verify(home).kind == "manual"
    assert list((tmp_path / "scratch").iterdir()) == []
    for path in (tmp_path / "there").rglob("*"):
        assert (
            path.is_symlink()
            or path.is_dir()
            or not path.stat().st_mode & 0o077
            or (target.kind == "rclone")
        ), f"{path} can be read by others"
    full.db.people.drop()
    shutil.rmtree(full.uploads)
    full.restore(catalogue.find(tmp_path / "home", "thynk"))
    assert full.db.people.count_documents({}) == 50
    assert (full.uploads / "photo.jpg").stat().st_uid == 1234


def slowed(program, tmp_path):
    """Return a folder for PATH in which that program takes its time."""
    fake, real = tmp_path / "slow", shutil.which(program)
    fake.mkdir()
    slow = "sleep 0.2" if program == "rclone" else 'set -- --bwlimit=300 "$@"'
    (fake / program).write_text(f'#!/bin/sh\n{slow}\nexec {real} "$@"\n')
    (fake / program).chmod(0o755)
    return fake


@pytest.mark.parametrize("target", KINDS, indirect=True)
def test_push_that_was_killed_is_not_listed_and_goes_on_where_it_was(
    full, there, target, tmp_path, monkeypatch
):
    """SIGKILL once some of it is there; the parts or files that arrived are not sent again."""
    (full.uploads / "zzz").write_bytes(os.urandom(1_200_000))
    backup = full.backup()
    program = "rclone" if target.kind == "rclone" else "rsync"
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{slowed(program, tmp_path)}:{path}")
    partial = tmp_path / "there" / ".partial-thynk"

    def arrived():
        if program == "rclone":
            return len([one for one in partial.glob("part-*") if one.stat().st_size]) > 2
        return (partial / "mongodb/thynk").is_dir() and any(partial.rglob(".zzz.*"))

    pid = os.fork()
    if pid == 0:
        offsite.push(there, target, backup, quiet)
        os._exit(0)
    until(arrived)
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL

    monkeypatch.setenv("PATH", path)
    assert there.cards() == []
    sent = {
        path.relative_to(partial): written(path)
        for name in ("part-0000[01]*", "photo.jpg")
        for path in partial.rglob(name)
    }
    assert sent
    assert offsite.push(there, target, backup, quiet)
    final = tmp_path / "there" / backup.id
    assert {name: written(final / name) for name in sent} == sent, "it was not sent again"
    [card] = there.cards()
    assert kept(offsite.pull(there, card, tmp_path / "home", quiet)) == kept(backup.path)
    assert not partial.exists()
    assert [one.name for one in (tmp_path / "there").iterdir()] == [backup.id]


@pytest.mark.parametrize("target", ["rclone", "rsync"], indirect=True)
def test_what_was_given_up_takes_no_room_once_a_newer_backup_is_there(
    full, there, target, tmp_path
):
    partial = tmp_path / "there/.partial-thynk"
    (partial / "mongodb").mkdir(parents=True)
    (partial / "part-00007-0.tar").write_text("of an older backup")
    (partial / "offsite.json").write_text("{}")
    backup = full.backup()

    assert offsite.push(there, target, backup, quiet)

    assert os.listdir(tmp_path / "there") == [backup.id]
    assert not (tmp_path / "there" / backup.id / "part-00007-0.tar").exists()
    [card] = there.cards()
    offsite.pull(there, card, tmp_path / "home", quiet)


@pytest.mark.parametrize("target", ["rclone", "rsync"], indirect=True)
def test_full_place_is_told_and_the_push_goes_on_once_there_is_room(full, there, target, disk):
    """In the middle of a stream: what tarfile does as it is closed once hid why."""
    disk(target.path, "2m")
    (full.uploads / "film").write_bytes(os.urandom(3 << 20))
    backup = full.backup()
    with pytest.raises(UnavailableError, match="space"):
        offsite.push(there, target, backup, quiet)
    assert there.cards() == []
    disk(target.path, "20m")
    assert offsite.push(there, target, backup, quiet)
    assert [card.id for card in there.cards()] == [backup.id]


@pytest.mark.parametrize("target", ["rclone", "rsync"], indirect=True)
def test_damage_on_the_way_or_there_is_found_and_never_comes_home(full, there, target, tmp_path):
    backup = full.backup()
    partial = tmp_path / "there" / ".partial-thynk"
    offsite.push(there, target, backup, quiet)
    final = tmp_path / "there" / backup.id
    final.rename(partial)
    (partial / "offsite.json").unlink()
    victim = next(partial.glob("part-00001*"), partial / "uploads/backend/uploads/photo.jpg")
    whole, times = victim.read_bytes(), victim.stat()
    victim.write_bytes(b"x" + whole[1:])  # the same size and time
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))

    if target.kind == "rclone":
        with pytest.raises(BackupError, match="had another hash"):
            offsite.push(there, target, backup, quiet)
        assert there.cards() == []
    assert offsite.push(there, target, backup, quiet), "it is sent again"
    assert (final / victim.relative_to(partial)).read_bytes() == whole

    (final / victim.relative_to(partial)).write_bytes(b"x" + whole[1:])
    [card] = there.cards()
    with pytest.raises(BackupError, match=r"damaged|SHA-256"):
        offsite.pull(there, card, tmp_path / "home", quiet)
    assert list((tmp_path / "home").iterdir()) == []
    (final / "offsite.json").unlink()
    assert there.cards() == []


@pytest.fixture
def without_hashes(tmp_path, monkeypatch):
    """A remote that knows no hash of what it holds, as rclone's crypt; here it encrypts nothing."""
    monkeypatch.setattr(parts_of, "SIZE", 250_000)
    settings = {
        "TYPE": "crypt",
        "REMOTE": str(tmp_path / "there"),
        "PASSWORD": subprocess.check_output(["rclone", "obscure", "x"], text=True).strip(),
        "NO_DATA_ENCRYPTION": "true",
        "FILENAME_ENCRYPTION": "off",
        "DIRECTORY_NAME_ENCRYPTION": "false",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"RCLONE_CONFIG_BLIND_{name}", value)
    monkeypatch.setenv("RCLONE_CONFIG", str(tmp_path / "rclone.conf"))
    return parse("rclone:blind:")


def test_place_that_knows_no_hashes_is_read_back_and_damage_there_is_found(
    full, without_hashes, tmp_path
):
    there = offsite.place(without_hashes, tmp_path / "scratch", "offsite-thynk")
    backup, partial = full.backup(), tmp_path / "there/.partial-thynk"
    offsite.push(there, without_hashes, backup, quiet)
    assert there._remote.hashes(backup.id)
    assert not any(there._remote.hashes(backup.id).values())
    (tmp_path / "there" / backup.id).rename(partial)
    (partial / "offsite.json.bin").unlink()
    [victim] = partial.glob("part-00001*")
    victim.write_bytes(b"x" + victim.read_bytes()[1:])  # the same size: only a reader sees it

    with pytest.raises(BackupError, match="had another hash"):
        offsite.push(there, without_hashes, backup, quiet)
    assert there.cards() == []
    assert offsite.push(there, without_hashes, backup, quiet), "it is sent again"
    [card] = there.cards()
    assert kept(offsite.pull(there, card, tmp_path / "home", quiet)) == kept(backup.path)


@pytest.mark.parametrize("target", ["rsync", "ssh"], indirect=True)
def test_what_did_not_change_is_linked_there_and_an_earlier_copy_stays_as_it_was(
    full, there, target, tmp_path
):
    first = full.backup()
    offsite.push(there, target, first, quiet)
    before = kept(tmp_path / "there" / first.id)
    (full.uploads / "photo.jpg").write_bytes(b"new")
    second = full.backup(previous=first)
    offsite.push(there, target, second, quiet)

    old, new = (tmp_path / "there" / one.id / "uploads/backend/uploads" for one in (first, second))
    assert (old / "empty").is_dir()
    assert os.path.samefile(old / "a\nb '$(x)", new / "a\nb '$(x)")
    assert (old / "photo.jpg").read_bytes() != (new / "photo.jpg").read_bytes() == b"new"
    assert kept(tmp_path / "there" / first.id) == before
    assert [card.id for card in there.cards()] == [second.id, first.id]


@pytest.mark.parametrize("target", ["rclone"], indirect=True)
def test_rename_that_ended_half_way_is_no_copy_and_is_finished(full, there, target, tmp_path):
    """A cloud that cannot rename folders moves file by file."""
    backup = full.backup()
    offsite.push(there, target, backup, quiet)
    final, partial = (tmp_path / "there" / name for name in (backup.id, ".partial-thynk"))
    partial.mkdir()
    last = sorted(final.glob("part-*"))[-1]
    last.rename(partial / last.name)

    assert there.cards() == []
    assert offsite.push(there, target, backup, quiet)
    assert [card.id for card in there.cards()] == [backup.id]
    assert not list(partial.glob("*"))


@pytest.mark.parametrize("target", KINDS, indirect=True)
def test_removed_copies_are_gone_and_nothing_else_is_whoever_was_killed(
    full, there, target, tmp_path, monkeypatch
):
    first = full.backup()
    second = full.backup(previous=first)
    third = full.backup(previous=second)
    for one in (first, second, third):
        offsite.push(there, target, one, quiet)
    top = tmp_path / "there"
    (top / "20260101_000000").mkdir()
    (top / "20260101_000000/theirs").write_text("precious")
    newest = kept(top / third.id)
    if target.kind == "rclone":
        (top / second.id / "theirs").write_text("precious")
    with monkeypatch.context() as killed:  # in the middle of a removal
        method = "remove" if target.kind == "rclone" else "remove_folder"
        killed.setattr(type(there._remote), method, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            there.remove(next(one for one in there.copies("thynk") if one.id == second.id))

    assert [card.id for card in there.cards()] == [third.id, first.id]
    for copy in sorted(there.copies("thynk"), key=lambda one: one.id)[:-1]:
        there.remove(copy)

    assert [(copy.id, copy.whole) for copy in there.copies("thynk")] == [(third.id, True)]
    assert there.copies("another") == []
    theirs = {"20260101_000000", third.id} | ({second.id} if target.kind == "rclone" else set())
    assert set(os.listdir(top)) == theirs
    assert kept(top / third.id) == newest
    assert all((top / name / "theirs").exists() for name in theirs - {third.id})
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("target", ["rsync"], indirect=True)
def test_another_app_s_copy_is_neither_taken_for_ours_nor_overwritten(
    full, there, target, tmp_path
):
    backup = full.backup()
    offsite.push(there, target, backup, quiet)
    card = tmp_path / "there" / backup.id / "offsite.json"
    card.write_text(card.read_text().replace('"thynk"', '"other"'))

    with pytest.raises(UsageError, match="of other"):
        offsite.push(there, target, backup, quiet)
    [theirs] = there.cards()
    with pytest.raises(BackupError, match="holds thynk's backup"):
        offsite.pull(there, theirs, tmp_path / "home", quiet)


def test_disk_that_is_not_mounted_is_away_and_not_made_anew(full, tmp_path):
    target = parse(f"rsync:{tmp_path}/usb")
    there = offsite.place(target, tmp_path / "scratch", "offsite-thynk")

    with pytest.raises(UnavailableError, match="there is no folder"):
        offsite.push(there, target, full.backup(), quiet)
    assert not (tmp_path / "usb").exists()


def test_missing_program_is_named_with_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    target = parse("rclone:drive:x")
    with pytest.raises(ConfigError, match="rclone is not installed") as caught:
        offsite.place(target, tmp_path / "scratch", "offsite-thynk").cards()
    assert "apt-get install rclone" in caught.value.remedy


@pytest.mark.parametrize("kind", ["CHR", "LNK", "up", "twice"])
def test_tar_stream_of_somebody_else_makes_nothing_but_files_inside(tmp_path, kind):
    made = tarfile.TarInfo("../evil" if kind == "up" else "evil")
    made.type = {"CHR": tarfile.CHRTYPE, "LNK": tarfile.LNKTYPE}.get(kind, tarfile.SYMTYPE)
    made.linkname = "/etc"
    inner = tarfile.TarInfo("evil/passwd")
    with tarfile.open(tmp_path / "stream", "w") as tar:
        tar.addfile(made)
        tar.addfile(inner)
    digest = parts_of.files.sha256_of(tmp_path / "stream")
    part = parts_of.Part("part", digest[1], digest[0])
    (tmp_path / "into").mkdir()
    stream = parts_of.Joined(
        [part], tmp_path, lambda _, path: shutil.copy(tmp_path / "stream", path)
    )

    with pytest.raises((BackupError, OSError)):
        parts_of.unpack(stream, tmp_path / "into")
    assert not (tmp_path / "evil").exists()
