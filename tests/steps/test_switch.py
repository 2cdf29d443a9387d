"""Which running containers `up` would leave alone although they hold on to what is old."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.release import VARIABLES, Release
from worker.steps import switch

CHECKOUT = Path("/srv/shop")


def model(value):
    bind = {"type": "bind", "source": f"{CHECKOUT}/conf/page.html", "target": "/page.html"}
    return {
        "services": {
            "binds": {"volumes": [bind]},
            "config": {"configs": [{"source": "file"}]},
            "secret": {"secrets": [{"source": "variable"}]},
            "plain": {"image": "x"},
        },
        "configs": {"file": {"file": f"{CHECKOUT}/conf/motd.txt"}},
        "secrets": {"variable": {"environment": "A"}},
        VARIABLES: {"A": value},
    }


@pytest.fixture
def stale(tmp_path):
    """Return the stale services, given the changed files, the secret now and who runs."""

    def ask(changed=(), secret="same", running=True, moved=True):
        folders = {"old": model("same"), "new": model(secret)}
        for name, one in folders.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / "model.json").write_text(json.dumps(one))
        old, new = (Release(name, "r", "shop", tmp_path / name, {}) for name in folders)
        there = [SimpleNamespace(service=one, running=running) for one in model("")["services"]]
        attempt = SimpleNamespace(
            id="id",
            containers=there,
            app=SimpleNamespace(checkout=CHECKOUT),
            checkout=SimpleNamespace(kept=lambda _: "kept" if moved else None),
            old_release=lambda: old,
            fact=lambda *_: changed,
        )
        return switch._stale(attempt, new)

    return ask


def test_changed_files_that_a_running_container_was_given_make_it_stale(stale):
    assert stale(["conf/motd.txt", "conf/page.html", "README.md"]) == ["binds", "config"]


def test_changed_secret_makes_a_running_container_stale(stale):
    assert stale(secret="other") == ["secret"]


def test_what_is_started_anew_is_not_stale(stale):
    assert stale(["conf/motd.txt"], secret="other", running=False) == []


def test_file_of_a_checkout_that_never_moved_is_not_stale(stale):
    assert stale(["conf/motd.txt"], moved=False) == []
