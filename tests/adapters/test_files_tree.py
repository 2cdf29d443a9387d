"""A tree whose folders change while it is open, and links between two trees."""

import os

import pytest

from worker.adapters.files import chunks, closing
from worker.adapters.files_tree import Tree


def content(tree, path):
    with closing(tree.open(path)) as descriptor:
        return b"".join(chunks(descriptor))


@pytest.fixture
def two(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "a/b").mkdir(parents=True)
        (tmp_path / name / "top").write_text(name)
        (tmp_path / name / "a/b/deep").write_text(name)
    with Tree(tmp_path / "one") as one, Tree(tmp_path / "two") as other:
        yield one, other


def test_a_folder_made_anew_is_not_taken_for_the_one_before(two):
    tree, _ = two
    assert content(tree, "a/b/deep") == b"one"
    tree.remove("a/b")
    tree.make_folder("a/b")
    with closing(tree.create("a/b/deep")) as descriptor:
        os.write(descriptor, b"new")
    assert content(tree, "a/b/deep") == b"new"
    assert content(tree, "top") == b"one"


@pytest.mark.parametrize("path", ["a/b/..", "a/b/.", "a/b/", "a//deep", "../one/top", "a/b/x\0"])
def test_no_path_leads_out_of_a_tree_also_after_a_good_one(two, path):
    tree, _ = two
    assert content(tree, "a/b/deep") == b"one"
    with pytest.raises(ValueError, match="is not a path inside a tree"):
        tree.open(path)


def test_links_are_made_of_what_is_there_and_never_over_what_is_there(two, tmp_path):
    one, other = two
    for name in ("new", "gone"):
        (tmp_path / "two/a/b" / name).write_text(name)
    (tmp_path / "two/a/b/gone").unlink()
    assert one.link_from(other, "a/b", ["deep", "new", "gone"]) == ["new"]
    assert content(one, "a/b/deep") == b"one"
    assert (tmp_path / "one/a/b/new").samefile(tmp_path / "two/a/b/new")
    assert one.link_from(other, "nowhere", ["new"]) == []


@pytest.mark.parametrize("became", ["file", "dir", ""])
def test_a_link_that_became_something_else_while_it_was_listed(two, tmp_path, monkeypatch, became):
    tree, _ = two
    place, read = tmp_path / "one/a/link", os.readlink
    place.symlink_to("b")

    def replaced_first(name, *, dir_fd):
        if place.is_symlink():
            place.unlink()
            {"file": place.touch, "dir": place.mkdir, "": lambda: None}[became]()
        return read(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "readlink", replaced_first)
    found = tree.scan().entries
    assert {"a/b/deep", "top"} <= found.keys()
    assert (found["a/link"].type if "a/link" in found else "") == became
