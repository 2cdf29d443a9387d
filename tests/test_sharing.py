"""Two apps that share a place are told so, however the place is spelt."""

from pathlib import Path

import pytest

from worker.sharing import shared_folders


def app(checkout, backups="backups", uploads="uploads"):
    top = Path(checkout)
    return {
        "checkout": top,
        "backup.dir": top / backups,
        "data.uploads uploads": top / uploads,
    }


APART = {"one": app("/srv/one"), "two": app("/srv/two", "/backups/two")}
TOGETHER = {
    "same": (
        app("/srv/one"),
        "apps.one.checkout (/srv/one) and apps.two.checkout (/srv/one) are the same folder",
    ),
    "checkout-inside": (
        app("/srv/one/two"),
        "apps.two.checkout (/srv/one/two) lies in apps.one.checkout (/srv/one)",
    ),
    "checkout-around": (
        app("/srv", "/var/backups"),
        "apps.one.checkout (/srv/one) lies in apps.two.checkout (/srv)",
    ),
    "backups": (
        app("/srv/two", "/backups/one"),
        "apps.one.backup.dir (/backups/one) and apps.two.backup.dir (/backups/one) are the same",
    ),
    "backups-inside": (
        app("/srv/two", "/backups/one/two"),
        "apps.two.backup.dir (/backups/one/two) lies in apps.one.backup.dir (/backups/one)",
    ),
    "backups-in-uploads": (
        app("/srv/two", "/srv/one/uploads/b"),
        "apps.two.backup.dir (/srv/one/uploads/b) lies in apps.one.checkout (/srv/one)",
    ),
}


@pytest.mark.parametrize(("other", "sentence"), TOGETHER.values(), ids=TOGETHER)
def test_a_folder_that_is_shared_or_within_another_is_named_with_both_keys(other, sentence):
    (found,) = shared_folders({"one": app("/srv/one", "/backups/one"), "two": other})

    assert found.startswith(sentence)


def test_apps_with_places_of_their_own_share_nothing():
    assert shared_folders(APART) == []
    assert shared_folders({"a": app("/srv/shop"), "b": app("/srv/shop-2")}) == []


def test_two_links_to_one_folder_are_one_folder(tmp_path):
    for name in ("one", "two", "data"):
        (tmp_path / name).mkdir()
    for name in ("one", "two"):
        (tmp_path / name / "uploads").symlink_to(tmp_path / "data")

    (found,) = shared_folders({name: app(tmp_path / name) for name in ("one", "two")})

    assert found == (
        f"apps.one.data.uploads uploads ({tmp_path}/one/uploads, which is {tmp_path}/data) and"
        f" apps.two.data.uploads uploads ({tmp_path}/two/uploads, which is {tmp_path}/data)"
        " are the same folder"
    )
