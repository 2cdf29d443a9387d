"""What a deployment needs of each disk, on real file systems."""

import subprocess
from types import SimpleNamespace

import pytest

from worker.errors import FullError
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


def test_documents_are_expected_to_pack_as_well_as_the_last_time():
    assert space._packed(1000, backup_of((100, 20), (300, 80))) == 250
    assert space._packed(1000, backup_of((100, 300))) == 1000
    assert space._packed(1000, backup_of()) == 1000
    assert space._packed(1000, None) == 1000
