"""Whose a restart policy of `no` is: a person's, or of a way back that did not end."""

import pytest

from worker.clock import SystemClock
from worker.journal import Journal, journals
from worker.steps.as_before import left_off


@pytest.mark.parametrize(
    ("statuses", "doubted"),
    [
        ([], False),
        (["succeeded"], False),
        (["inconsistent"], True),
        (["succeeded", "inconsistent"], True),
        (["inconsistent", "failed", "skipped", "cancelled"], True),
        (["inconsistent", "succeeded"], False),
        (["inconsistent", "rolled_back", "failed"], False),
    ],
)
def test_policy_is_doubted_after_an_inconsistent_end_until_containers_are_mended(
    tmp_path, statuses, doubted
):
    clock = SystemClock()
    for number, status in enumerate(statuses):
        Journal(tmp_path / f"20261122t14300{number}-3f9a1c.jsonl", clock).append(
            "after", "end", "end", {"status": status}
        )
    Journal(tmp_path / "20261122t143100-3f9a1c.jsonl", clock).append(
        "deploy", "preflight", "intent"
    )

    assert left_off(journals(tmp_path, clock)) == doubted
