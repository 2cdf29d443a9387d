from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.deployments import asked_for
from worker.cancels import Cancel, Cancels
from worker.errors import BusyError, CancelledError

ONE = asked_for()
WISH = Cancel(ONE, by="bob", at="2026-11-22T14:31:00.000Z", reason="wrong branch")


@pytest.fixture
def cancels(tmp_path):
    return Cancels(tmp_path / "cancels")


def test_cancel_says_who_when_and_why_and_what_was_asked_for(cancels):
    cancels.ask(WISH)

    assert Cancels(cancels.folder).of(ONE.id) == WISH
    assert cancels.all() == [WISH]
    with pytest.raises(CancelledError, match=r"bob cancelled it at 2026-11-22T14:31.*wrong branch"):
        cancels.close(ONE.id, "now")
    assert [path.stat().st_mode & 0o777 for path in cancels.folder.iterdir()] == [0o600]


def test_second_cancel_is_the_first_ones(cancels):
    cancels.ask(WISH)

    assert cancels.ask(replace(WISH, by="eve", reason=None)) == WISH


def test_cancel_after_the_fence_is_refused(cancels):
    cancels.close(ONE.id, "now")
    cancels.close(ONE.id, "now")

    with pytest.raises(BusyError, match="past its fence"):
        cancels.ask(WISH)
    assert cancels.of(ONE.id) is None
    assert cancels.all() == []


def test_of_a_cancel_and_a_fence_at_one_moment_exactly_one_wins(cancels):
    def cancel():
        try:
            return bool(cancels.ask(WISH))
        except BusyError:
            return False

    def fence():
        try:
            cancels.close(ONE.id, "now")
        except CancelledError:
            return False
        return True

    won = set()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(100):
            done = [pool.submit(one) for one in (cancel, fence, cancel)]
            cancelled, fenced, too = [one.result() for one in done]
            assert cancelled == too != fenced
            won.add(fenced)
            cancels.sweep(lambda _: True)
    assert won == {True, False}


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"deployment": {}}', '{"by": "bob"}', "\0"])
def test_file_that_a_person_left_there_is_set_aside_and_all_else_goes_on(cancels, text, caplog):
    cancels.ask(WISH)
    stranger = cancels.folder / "notes.json"
    stranger.write_text(text)

    assert cancels.all() == [WISH]
    assert cancels.all() == [WISH]

    assert [one.message for one in caplog.records] == ["file.set_aside"]
    (aside,) = cancels.folder.glob("notes.json.unreadable-*")
    assert (aside.read_text(), stranger.exists()) == (text, False)


def test_damaged_file_of_a_deployment_decides_nothing(cancels):
    for act in (lambda: cancels.close(ONE.id, "now"), lambda: cancels.ask(WISH)):
        cancels.folder.mkdir(exist_ok=True)
        (cancels.folder / f"{ONE.id}.json").write_text("{")

        act()

    assert cancels.of(ONE.id) == WISH
    other = replace(ONE, id="20261122t143000-ffffff")
    (cancels.folder / f"{other.id}.json").write_text(
        (cancels.folder / f"{ONE.id}.json").read_text()
    )
    assert (cancels.of(other.id), cancels.all()) == (None, [WISH])
