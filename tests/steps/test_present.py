"""Whether what runs shows the files of a revision, in a real clone."""

import subprocess
from types import SimpleNamespace

import pytest

from tests.steps.test_health import container
from worker.adapters.containers import Mounted
from worker.adapters.git import Checkout
from worker.steps.present import shows_other_files

WHO = ["-c", "user.name=t", "-c", "user.email=t@example.org"]


@pytest.fixture
def shop(tmp_path):
    """A checkout at the second of two revisions, which differ in `conf/page` only."""
    top = tmp_path / "shop"
    (top / "conf").mkdir(parents=True)
    (top / "uploads").mkdir()
    (top / "app.py").write_text("code")
    (top / "uploads" / "logo").write_text("default")
    git(top, "init", "--quiet", "-b", "main")
    for page in ("one", "two"):
        (top / "conf" / "page").write_text(page)
        git(top, "add", "--all")
        git(top, "commit", "--quiet", "-m", page)
    return SimpleNamespace(
        app=SimpleNamespace(checkout=top), checkout=Checkout(top, "main"), left_alone=["uploads"]
    )


def git(top, *argv):
    done = subprocess.run(["git", *WHO, *argv], cwd=top, check=True, text=True, capture_output=True)
    return done.stdout.strip()


def shows(shop, revision, *mounted):
    """Return it for one container that mounts these paths of the checkout."""
    top = shop.app.checkout
    mounts = [Mounted("bind", str(top / path), f"/{path}") for path in mounted]
    there = [container("web", mounts=mounts)]
    wanted = git(top, "rev-parse", revision)
    return shows_other_files(shop, there, shop.checkout.head(), wanted)


def test_what_is_mounted_and_checked_out_is_the_revisions_or_is_not(shop):
    assert not shows(shop, "HEAD", "conf/page")
    assert shows(shop, "HEAD~1", "conf/page")
    assert shows(shop, "HEAD~1", "conf")
    assert not shows(shop, "HEAD~1", "app.py")


def test_edit_counts_where_a_container_mounts_it(shop):
    (shop.app.checkout / "conf" / "page").write_text("edited")
    assert shows(shop, "HEAD", "conf/page")
    assert not shows(shop, "HEAD", "app.py")
    assert not shows(shop, "HEAD")


def test_data_is_nobodys_edit(shop):
    (shop.app.checkout / "uploads" / "logo").write_text("a user's")
    assert not shows(shop, "HEAD", "uploads")
