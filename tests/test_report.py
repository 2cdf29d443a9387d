"""What the log of a deployment keeps of what is said."""

from tests.clocks import FakeClock
from worker.deployment import Deployment
from worker.journal import Journal
from worker.redact import Passing
from worker.report import Report


class Watched:
    def __init__(self):
        self.lines = []

    def record(self, record):
        """Nothing."""

    def line(self, text):
        self.lines.append(text)


def test_the_log_keeps_events_and_few_of_the_passing_lines(tmp_path):
    clock, watched, log = FakeClock(), Watched(), tmp_path / "log"
    deployment = Deployment(
        id="20261122t143000-3f9a1c", app="shop", kind="deploy", trigger="cli", by="ann",
        queued_at="2026-11-22T14:30:00Z", options={},
    )  # fmt: skip
    report = Report(
        deployment, Journal(tmp_path / "journal", clock), log,
        ledger=None, redact=lambda text: text.replace("secret", "***"), clock=clock, screen=watched,
    )  # fmt: skip
    report.line("users: 3 documents")
    for number in range(10):
        clock.sleep(2)
        report.line(Passing(f"secret: {number} MiB"))
    kept = [line.partition(" ")[2] for line in log.read_text().splitlines()]
    assert kept == ["users: 3 documents", "***: 7 MiB"]
    assert len(watched.lines) == 11
    assert watched.lines[1] == "***: 0 MiB"
    assert [isinstance(line, Passing) for line in watched.lines] == [False] + [True] * 10
