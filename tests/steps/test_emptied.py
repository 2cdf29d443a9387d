"""When nothing is left of an uploads folder."""

import pytest

from worker.steps.emptied import NO_CHANCE, nothing_left

MANY = [f"files/{n}" for n in range(NO_CHANCE)]


@pytest.mark.parametrize(
    ("there", "saved", "nothing"),
    [
        ([], ["files/a"], True),
        (["files/.gitkeep"], ["files/a"], True),
        (["files/a"], ["files/a", "files/b"], False),
        (["files/new"], ["files/a"], False),
        (["files/new"], MANY, True),
        (["files/new", "files/3"], MANY, False),
    ],
    ids=["empty", "only_gits", "one_left", "replaced", "another_disk", "one_of_many_left"],
)
def test_uploads_are_missed_when_none_is_left(tmp_path, there, saved, nothing):
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert nothing_left(tmp_path, "files", saved, {"files/.gitkeep"}) is nothing
