"""Apps that are not configured any more, and were left in the middle."""

from types import SimpleNamespace

import pytest

from tests.deployments import asked_for
from worker.abandoned import abandoned
from worker.clock import SystemClock
from worker.decisions import Decisions
from worker.errors import GuardError
from worker.journal import Journal
from worker.steps import neighbours

CLOCK = SystemClock()


@pytest.fixture
def left(tmp_path):
    """Return the journal of an app of the project `web` whose switch was cut off."""
    journal = Journal.begin(tmp_path / "old" / "journal", asked_for(app="old"), CLOCK)
    journal.append("deploy", "preflight", "done", {"project": "web"})
    journal.append("deploy", "switch", "intent")
    return journal


def attempt(home, *others):
    return SimpleNamespace(
        app=SimpleNamespace(name="new"),
        others=[SimpleNamespace(name=one) for one in others],
        state=SimpleNamespace(home=home / "new"),
        clock=CLOCK,
    )


def refused(home, project="web", *others):
    neighbours.judge_abandoned(attempt(home, *others), project)


def test_app_under_a_new_name_is_refused_while_its_old_name_is_in_the_middle(tmp_path, left):
    refused(tmp_path, "another")
    refused(tmp_path, "web", "old")
    with pytest.raises(GuardError, match=f"deployment {left.path.stem} is in the middle") as told:
        refused(tmp_path)
    assert "[apps.old] again" in told.value.remedy

    left.append("after", "end", "end", {"status": "rolled_back", "error": None})
    refused(tmp_path)


def test_inconsistent_app_is_not_made_whole_by_a_new_name(tmp_path, left):
    left.append("after", "end", "end", {"status": "inconsistent", "error": None})
    decisions = Decisions(tmp_path / "old" / "decisions.json")
    decisions.hold("inconsistent", by=None, at="then", reason="mongod was gone", head=None)

    [found] = abandoned(tmp_path, ["new"], CLOCK)
    assert "old is not in sheetanchor.toml any more, and it is inconsistent" in str(found)
    with pytest.raises(GuardError, match="inconsistent since then"):
        refused(tmp_path)


def test_unreadable_leavings_are_told_and_stop_nobody(tmp_path, left):
    left.path.write_text("[1]\n")

    [found] = abandoned(tmp_path, [], CLOCK)
    assert "cannot be read" in str(found)
    refused(tmp_path)


def test_what_is_over_or_never_began_is_nobodys_concern(tmp_path):
    Journal.begin(tmp_path / "old" / "journal", asked_for(app="old"), CLOCK)
    (tmp_path / "empty").mkdir()

    assert list(abandoned(tmp_path, [], CLOCK)) == []
    assert list(abandoned(tmp_path / "nowhere", [], CLOCK)) == []
