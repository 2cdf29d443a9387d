"""Copying uploads out of a real container, killed at each of its acts."""

import itertools
import os

import docker
import pytest

from tests.e2e.fingerprint import tree
from worker.adapters import layer
from worker.adapters.engine import Engine
from worker.adapters.files_tree import Tree

FILL = (
    "mkdir -p /up/deep/empty; cd /up; echo one > a; echo two > deep/b; ln -s nowhere deep/link;"
    " chown -R 1234:1234 deep; chmod 751 deep; chmod 640 a"
)
ACTS = ("make_folder", "make_link", "create", "set_metadata", "sync", "swap_in")


class Recorded:
    """What Docker says of a container, asked once: dozens of lives are lived with it."""

    def __init__(self, container):
        self.engine, self.container, self.told = Engine(), container, {}

    def changes(self, _):
        if "changes" not in self.told:
            self.told["changes"] = self.engine.changes(self.container)
        return self.told["changes"]

    def archive(self, _, path):
        if path not in self.told:
            self.told[path] = list(self.engine.archive(self.container, path))
        return iter(self.told[path])


class DiedError(Exception):
    """A process was killed."""


@pytest.fixture(scope="module")
def container():
    client = docker.from_env()
    made = client.containers.create("sheetanchor-base:1", ["sh", "-c", FILL])
    try:
        made.start()
        assert made.wait()["StatusCode"] == 0
        yield made.id
    finally:
        made.remove(force=True)
        client.close()


def killed_at(monkeypatch, number, *, before):
    """Have the process die at one of its acts; return the number of acts so far, in a list."""
    count = [0]

    def dying(act):
        def run(*args, **more):
            count[0] += 1
            if count[0] == number and before:
                raise DiedError
            done = act(*args, **more)
            if count[0] == number:
                raise DiedError
            return done

        return run

    for name in ACTS:
        monkeypatch.setattr(Tree, name, dying(getattr(Tree, name)))
    return count


def whole(place):
    """Return what is there, without the times of folders."""
    return {name: about for name, about in tree(place).items() if name != "."}


def test_rescue_killed_at_any_act_leaves_only_what_is_whole_and_is_finished_by_another(
    container, tmp_path, monkeypatch
):
    docker_says = Recorded(container)
    rescued = layer.rescue(docker_says, container, "/up", tmp_path / "wanted")
    wanted = whole(tmp_path / "wanted")
    assert sorted(rescued.copied) == ["a", "deep/b", "deep/empty", "deep/link"]
    assert wanted["deep"][:3] == ("0o40751", 1234, 1234)
    with monkeypatch.context() as counting:
        acts = killed_at(counting, 0, before=True)
        layer.rescue(docker_says, container, "/up", tmp_path / "counted")
    assert acts[0] > 10

    for number, before in itertools.product(range(1, acts[0] + 1), (True, False)):
        place = tmp_path / f"{number}-{before}"
        with monkeypatch.context() as dying:
            killed_at(dying, number, before=before)
            with pytest.raises(DiedError):
                layer.rescue(docker_says, container, "/up", place)
        half = {name: about for name, about in whole(place).items() if name != layer.STAGED}
        assert half.items() <= wanted.items(), number

        layer.rescue(docker_says, container, "/up", place)

        assert whole(place) == wanted, number


def test_file_of_the_host_with_a_folders_name_is_told_and_all_else_is_copied(container, tmp_path):
    (tmp_path / "deep").write_text("ours")

    found = layer.rescue(Engine(), container, "/up", tmp_path)

    assert sorted(found.others) == ["deep/b", "deep/empty", "deep/link"]
    assert (found.copied, sorted(os.listdir(tmp_path))) == (["a"], ["a", "deep"])
    assert (tmp_path / "deep").read_text() == "ours"
