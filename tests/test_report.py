"""What the log of a deployment keeps of what is said."""

import pytest

from tests.clocks import FakeClock
from tests.deployments import asked_for
from worker.journal import Journal
from worker.redact import Passing
from worker.report import Report


class Watched:
    def __init__(self):
        self.lines, self.records = [], []

    def record(self, record):
        self.records.append((record["step"], record["event"]))

    def line(self, text):
        self.lines.append(text)


class Reported:
    """A report, and what became of it: what is watched, and the log's lines."""

    def __init__(self, home):
        self.clock, self.watched, self.log = FakeClock(), Watched(), home / "log"
        self.report = Report(
            asked_for(),
            Journal(home / "journal", self.clock),
            self.log,
            ledger=None,
            redact=lambda text: text.replace("secret", "***"),
            clock=self.clock,
            screen=self.watched,
        )

    def record(self, step, event, **facts):
        self.report.record({"phase": "way_back", "step": step, "event": event, "facts": facts})

    def kept(self):
        return [line.partition(" ")[2] for line in self.log.read_text().splitlines()]


@pytest.fixture
def reported(tmp_path):
    return Reported(tmp_path)


def test_the_log_keeps_events_and_few_of_the_passing_lines(reported):
    watched = reported.watched
    reported.report.line("users: 3 documents")
    for number in range(10):
        reported.clock.sleep(2)
        reported.report.line(Passing(f"secret: {number} MiB"))
    assert reported.kept() == ["users: 3 documents", "***: 7 MiB"]
    assert len(watched.lines) == 11
    assert watched.lines[1] == "***: 0 MiB"
    assert [isinstance(line, Passing) for line in watched.lines] == [False] + [True] * 10


def test_step_that_waits_tells_why_once_however_often_it_is_tried(reported):
    for why in ("mongod is away", "mongod is away", "mongod is away", "no secret"):
        reported.record("halt", "intent")
        reported.report.line("stopping web")
        reported.record("halt", "failed", failure=why)
        reported.report.line(f"halt failed: {why}")
        reported.report.line(f"waiting: {why}")
    reported.record("halt", "intent")
    reported.record("halt", "done")
    reported.report.line("stopping web")

    assert reported.kept() == [
        "way_back.halt intent",
        "stopping web",
        "way_back.halt failed: mongod is away",
        "waiting: mongod is away",
        "stopping web",
        "way_back.halt failed: no ***",
        "waiting: no ***",
        "way_back.halt done",
        "stopping web",
    ]
    assert [event for _, event in reported.watched.records] == [
        "intent",
        "failed",
        "failed",
        "done",
    ]


def test_other_steps_of_a_way_back_are_told_while_one_is_tried_again(reported):
    for _ in range(2):
        for step, event in (("health", "intent"), ("health", "failed"), ("switch", "done")):
            reported.record(step, event, **({"failure": "ill"} if event == "failed" else {}))

    assert (
        reported.kept()
        == [
            "way_back.health intent",
            "way_back.health failed: ill",
            "way_back.switch done",
        ]
        * 2
    )
