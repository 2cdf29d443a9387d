"""Deliveries of CI results: which are noted, and that nothing but the signed body counts."""

import pytest

from tests.webhook.conftest import configured
from tests.webhook.deliveries import REVISION, payload
from worker.ci import Results
from worker.jobs import run_app
from worker.queue import queue
from worker.state import State


@pytest.fixture
def config_path(tmp_path):
    path = configured(tmp_path)
    path.write_text(f"{path.read_text()}[apps.thynk.gate]\nrequire_ci = true\n")
    return path


@pytest.fixture
def noted(config):
    folder = State.where(config, config.apps["thynk"]).ci
    return lambda: Results(folder).of(REVISION)


def run(**changes):
    usual = payload("workflow_run")["workflow_run"]
    more = {"run_attempt": 1, "workflow_id": 159038}
    home = {"head_repository": {"full_name": "example/english-chat"}}
    return payload("workflow_run", workflow_run={**usual, **more, **home, **changes})


def suite(**changes):
    found = {
        "id": 118578147,
        "head_branch": "main",
        "head_sha": REVISION,
        "conclusion": "success",
        "updated_at": "2026-11-22T14:30:00Z",
        "app": {"id": 29310, "slug": "buildkite", "name": "Buildkite"},
        **changes,
    }
    repository = payload("workflow_run")["repository"]
    return {"action": "completed", "check_suite": found, "repository": repository}


def test_result_of_the_branch_is_noted_and_queues_nothing(deliver, noted, redis, caplog):
    caplog.set_level("INFO")
    answer = deliver(run(), event="workflow_run")
    assert (answer.status_code, answer.json) == (200, {"status": "noted", "revision": REVISION})
    assert deliver(run(), event="workflow_run").status_code == 200
    [found] = noted()
    assert (found.name, found.conclusion, found.run) == ("CI", "success", 30433642)
    assert "ci.noted" in caplog.text
    bells = queue(redis).get_jobs()  # a worker refuses what is no job of ours
    assert [bell.func for bell in bells] == [run_app, run_app]
    assert redis.zcard("sheetanchor:app:thynk:queued") == 0


def test_check_suite_of_another_ci_is_noted_and_its_newer_end_counts(deliver, noted):
    deliver(suite(updated_at="2026-11-22T14:31:00Z"), event="check_suite")
    deliver(suite(conclusion="failure"), event="check_suite")
    [found] = noted()
    assert (found.name, found.conclusion) == ("buildkite", "success")


@pytest.mark.parametrize(
    ("event", "content", "why"),
    [
        ("workflow_run", run(head_branch="feature/main"), "not of the branch main"),
        ("workflow_run", run(head_repository={"full_name": "mallory/english-chat"}), "a fork"),
        ("workflow_run", run(head_repository=None), "a fork"),
        ("workflow_run", run(event="issue_comment"), "of no push"),
        ("workflow_run", run(event="pull_request_target"), "of no push"),
        ("workflow_run", run() | {"action": "requested"}, "not completed"),
        ("workflow_run", suite(), "not of the branch"),
        ("workflow_run", payload(), "not completed"),
        ("check_suite", suite(head_branch=None), "not of the branch"),
        ("check_suite", suite(app={"id": 1, "slug": "github-actions"}), "A workflow run tells"),
        ("push", payload(ref="refs/heads/x"), "The branch is not main"),
    ],
)
def test_what_is_of_no_push_to_the_branch_is_ignored(deliver, noted, event, content, why):
    answer = deliver(content, event=event)
    assert (answer.status_code, answer.json["status"]) == (200, "ignored")
    assert why in answer.json["reason"]
    assert noted() == []


def test_result_of_another_repository_is_ignored(deliver, noted):
    other = payload("workflow_run")["repository"] | {"full_name": "example/other"}
    assert (
        "repository is"
        in deliver(run() | {"repository": other}, event="workflow_run").json["reason"]
    )
    assert noted() == []


@pytest.mark.parametrize(
    "changes",
    [{"head_sha": "../../x"}, {"id": "7"}, {"id": -1}, {"run_attempt": True}, {"conclusion": 3}],
)
def test_malformed_result_is_refused(deliver, noted, changes):
    assert deliver(run(**changes), event="workflow_run").status_code == 400
    assert noted() == []


def test_result_is_refused_without_the_signature(deliver, noted):
    answer = deliver(run(), event="workflow_run", X_Hub_Signature_256=None)
    assert (answer.status_code, noted()) == (401, [])


def test_without_the_gate_a_result_is_another_event(deliver, config):
    answer = deliver(run(), event="workflow_run", app="shop", secret=b"s" * 32)
    assert "The event is 'workflow_run', not 'push'" in answer.json["reason"]
