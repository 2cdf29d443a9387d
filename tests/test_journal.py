import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from worker.clock import SystemClock
from worker.deployment import Deployment, Status, new_id, view
from worker.ending import outage
from worker.journal import Journal, journals

SHAPE = set(
    "id app kind trigger by reason delivery requested_revision revision previous_revision"  # noqa: SIM905
    " message author status queued_at started_at finished_at seconds steps backup"
    " safety_backup outage_seconds error warnings superseded_by".split()
)


@pytest.fixture
def deployment():
    clock = SystemClock()
    return Deployment(
        id=new_id(clock.now()),
        app="shop",
        kind="deploy",
        trigger="push",
        by="ann",
        queued_at="2026-11-22T10:00:00.000Z",
        options={"force": False},
    )


@pytest.fixture
def journal(tmp_path, deployment):
    return Journal.begin(tmp_path, deployment, SystemClock())


def test_journal_alone_tells_what_was_asked_for(journal, deployment):
    assert journal.deployment() == deployment
    assert not journal.ended()


def test_torn_last_line_is_ignored_and_written_over(journal):
    journal.append("deploy", "backup", "intent")
    with journal.path.open("ab") as file:
        file.write(b'{"deployment": "x", "step": "swi')

    assert [record["step"] for record in journal.records()] == ["accept", "backup"]
    journal.append("deploy", "backup", "done", {"backup": "b1"})
    assert [record["event"] for record in journal.records()] == ["done", "intent", "done"]


def test_record_names_its_process_so_that_a_reused_pid_is_no_confusion(journal):
    record = journal.append("deploy", "backup", "intent")

    assert record["pid"] > 0
    assert record["start_time"] > 0
    assert len(record["boot_id"]) == 36


def test_record_is_on_disk_before_the_call_returns(tmp_path):
    """Counted from outside: one fsync a record, one more for the folder at the start."""
    code = (
        "from pathlib import Path; from worker.clock import SystemClock;"
        "from worker.journal import Journal; from worker.deployment import Deployment;"
        "d = Deployment(id='20261122t100000-aaaaaa', app='a', kind='deploy', trigger='cli',"
        " by=None, queued_at='2026-11-22T10:00:00Z');"
        f"j = Journal.begin(Path({str(tmp_path)!r}), d, SystemClock());"
        "j.append('deploy', 'backup', 'intent')"
    )
    trace = tmp_path / "trace"
    argv = ["strace", "-f", "-e", "trace=fsync", "-o", str(trace), sys.executable, "-c", code]
    subprocess.run(argv, check=True, cwd=".")

    assert trace.read_text().count("fsync(") == 3


def test_view_has_the_documented_shape_and_follows_the_steps(journal, deployment):
    journal.append("deploy", "preflight", "intent")
    journal.append("deploy", "preflight", "done", {"revision": "a" * 40, "containers": [{}]})
    journal.append("deploy", "switch", "intent")
    running = view(deployment, journal.records())
    journal.append("deploy", "switch", "failed", {"message": "no"})
    journal.append("way_back", "halt", "intent")
    back = view(deployment, journal.records())
    journal.append("way_back", "halt", "done", {"stopped_at": "x"})
    error = {"step": "switch", "message": "no", "remedy": "look"}
    journal.append("after", "end", "end", {"status": "rolled_back", "error": error})
    ended = view(deployment, journal.records())

    assert (running["status"], back["status"], ended["status"]) == (
        "running",
        "rolling_back",
        "rolled_back",
    )
    assert ended["revision"] == "a" * 40
    assert ended["error"] == error
    assert ended["seconds"] is not None
    assert [(s["name"], s["phase"], s["status"]) for s in ended["steps"]] == [
        ("preflight", "deploy", "done"),
        ("switch", "deploy", "failed"),
        ("halt", "way_back", "done"),
    ]
    assert ended["steps"][0]["facts"] == {}  # nested facts are the way back's own
    assert set(ended) == SHAPE


def test_journals_are_listed_oldest_first_and_know_their_end(tmp_path, journal):
    assert [one.path for one in journals(tmp_path, SystemClock())] == [journal.path]
    journal.append("after", "end", "end", {"status": "failed"})
    assert journal.ended()


def test_every_final_status_is_final():
    assert [s for s in Status if not s.final] == ["queued", "running", "rolling_back"]


class Jumps:
    """A clock that somebody sets a year back in the middle."""

    def __init__(self):
        self.calls = 0

    def now(self):
        self.calls += 1
        return datetime(2026 if self.calls < 3 else 2025, 11, 22, tzinfo=UTC)

    def monotonic(self):
        return 100.0 + 2.5 * self.calls


def test_durations_are_true_when_the_clock_is_set_meanwhile(tmp_path, deployment):
    journal = Journal.begin(tmp_path, deployment, Jumps())
    journal.append("deploy", "fence", "intent")
    journal.append("deploy", "fence", "done", {"stopped_at": "x"})
    journal.append("deploy", "switch", "intent")
    journal.append("deploy", "switch", "done", {"serving_at": "y"})
    journal.append("after", "end", "end", {"status": "succeeded"})
    records = journal.records()

    shown = view(deployment, records)

    assert [step["seconds"] for step in shown["steps"]] == [2.5, 2.5]
    assert shown["seconds"] == 10.0
    attempt = SimpleNamespace(before=[SimpleNamespace(running=True)])
    assert outage(attempt, records) == {"outage_seconds": 7.5}
    other_boot = [{**one, "boot_id": f"{number}"} for number, one in enumerate(records)]
    assert view(deployment, other_boot)["steps"][0]["seconds"] < 0
