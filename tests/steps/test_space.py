"""What a deployment needs of each disk, on real file systems."""

import os
import subprocess
from types import SimpleNamespace

import pytest

from worker.adapters import disk
from worker.errors import FullError
from worker.reserve import SIZE
from worker.steps import space
from worker.steps.space import Need, by_disk

MIB = 1 << 20


@pytest.fixture
def small(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_needs_of_one_file_system_are_added_up_also_of_folders_that_are_not_there_yet(
    small, tmp_path
):
    needs = [
        Need("backups", small / "backups" / "shop", 3 * MIB),
        Need("checkout", tmp_path, MIB),
        Need("images", small, 4 * MIB),
    ]

    one, other = by_disk(needs)

    assert (one.folder, one.needed, one.free) == (small / "backups" / "shop", 7 * MIB, 8 * MIB)
    assert (other.needed, other.parts) == (MIB, {"checkout": MIB})


def test_disk_that_may_become_full_is_refused_with_figures_and_what_to_do(small, monkeypatch):
    needs = [Need("backups", small / "b", 5 * MIB), Need("images", small, 6 * MIB)]
    monkeypatch.setattr(space, "_needs", lambda *_: needs)

    with pytest.raises(FullError) as refused:
        space.judge(SimpleNamespace(), [], "abc")

    said = f"{refused.value}"
    for words in ("8.0 MiB free", "11.0 MiB may be needed", "backups 5.0 MiB", "images 6.0 MiB"):
        assert words in said
    for words in (f"Free some space on it, at {small / 'b'}", "move backup.dir", "builder prune"):
        assert words in refused.value.remedy


def backup_of(*entries):
    found = [("shop", SimpleNamespace(bytes=raw, file_size=packed)) for raw, packed in entries]
    return SimpleNamespace(manifest=lambda: SimpleNamespace(collections=lambda: found))


MOVED, WHOLE, DOCUMENTS, UPLOADS, IMAGES = 3 * MIB, 5 * MIB, 4 * MIB, 64 << 10, 7 * MIB


@pytest.fixture
def deploying(tmp_path, monkeypatch):
    """An attempt that brings revision `new`, each of its folders on a disk of its own."""
    devices = iter(range(99))
    monkeypatch.setattr(space.disk, "device", lambda _: next(devices))
    monkeypatch.setattr(space.disk, "free_bytes", lambda _: 1 << 40)
    uploads, docker = tmp_path / "uploads", tmp_path / "docker"
    uploads.mkdir()
    docker.mkdir()
    (uploads / "photo").write_bytes(bytes(UPLOADS))
    sizes = {"app.py": MOVED, "same.txt": WHOLE - MOVED}
    checkout = SimpleNamespace(
        sizes=lambda revision: sizes if revision == "new" else {},
        head=lambda: SimpleNamespace(revision="old"),
        changed=lambda before, after: {"app.py": "M"} if (before, after) == ("old", "new") else {},
    )
    app = SimpleNamespace(
        name="shop", backup_dir=tmp_path / "backups", checkout=tmp_path, upload_paths=[uploads]
    )
    return SimpleNamespace(
        app=app,
        state=SimpleNamespace(home=tmp_path / "state"),
        checkout=checkout,
        deployment=SimpleNamespace(kind="deploy"),
        mongo=SimpleNamespace(size=lambda: DOCUMENTS),
        engine=SimpleNamespace(place_of_images=lambda images: (docker, IMAGES * len(images))),
    )


def needed(attempt):
    judged = space.judge(attempt, [SimpleNamespace(image="i1"), SimpleNamespace(image="i1")], "new")
    return [one["needed"] for one in judged]


def test_deployment_needs_room_for_its_backups_its_images_and_each_way_of_the_files(deploying):
    with_two_copies = 3 * DOCUMENTS + 2 * UPLOADS
    journal = SIZE + space.SPARE  # with its reserve; Git's folder has one, too

    assert needed(deploying) == [
        space.ROOM + with_two_copies,
        space.ROOM + IMAGES,
        journal + WHOLE,
        journal + MOVED,
    ]


def test_uploads_that_a_backup_has_already_are_counted_once(deploying, monkeypatch):
    monkeypatch.setattr(space.catalogue, "backups", lambda *_: [])
    monkeypatch.setattr(space.catalogue, "newest_verified", lambda _: backup_of())

    assert needed(deploying)[0] == space.ROOM + 3 * DOCUMENTS + UPLOADS


def test_a_sparse_upload_counts_as_large_as_its_copy(tmp_path):
    (tmp_path / "film").touch()
    os.truncate(tmp_path / "film", 5 << 30)

    assert disk.tree_bytes(tmp_path) == 5 << 30


def test_images_of_a_docker_on_another_host_need_nothing_here(deploying, tmp_path):
    deploying.engine.place_of_images = lambda _: (tmp_path / "elsewhere", IMAGES)

    assert len(needed(deploying)) == 3


def test_something_is_held_on_dockers_disk_only_where_it_is_one_of_ours(deploying, tmp_path):
    assert space.docker_root(deploying) == str(tmp_path / "docker")

    readonly = ["mount", "-t", "tmpfs", "-o", "size=1m,ro", "tmpfs", tmp_path / "docker"]
    subprocess.run(readonly, check=True)
    try:
        assert space.docker_root(deploying) is None
    finally:
        subprocess.run(["umount", tmp_path / "docker"], check=True)

    deploying.engine.place_of_images = lambda _: (tmp_path / "elsewhere", 0)
    assert space.docker_root(deploying) is None


def test_restore_needs_room_for_its_safety_backup_and_its_journal_alone(deploying):
    deploying.deployment.kind = "restore"

    assert needed(deploying) == [space.ROOM + DOCUMENTS + UPLOADS, SIZE + space.SPARE]


def test_documents_are_expected_to_pack_as_well_as_the_last_time():
    assert space._packed(1000, backup_of((100, 20), (300, 80))) == 250
    assert space._packed(1000, backup_of((100, 300))) == 1000
    assert space._packed(1000, backup_of()) == 1000
    assert space._packed(1000, None) == 1000
