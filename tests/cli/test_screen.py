import io
import os
import pty
import signal
import subprocess
import time

import pytest
from rich.console import Console

from tests.forks import TOP
from worker.cli import output
from worker.cli.interrupt import Interrupt
from worker.cli.screen import Lines, LiveView, opened
from worker.redact import Passing


def record(step, event, *, phase="deploy", second=0, **facts):
    at = f"2026-11-22T14:30:{second:02}.000Z"
    return {"phase": phase, "step": step, "event": event, "time": at, "facts": facts}


def test_plain_lines_name_steps_and_seconds(capsys):
    screen = Lines()

    screen.record(record("backup", "intent"))
    screen.line("dumping [bold]users")
    screen.line(Passing("backup: 3.0 MiB of 4.0 MiB, 1.0 MiB/s, 1 s left"))
    screen.record(record("backup", "done", second=3))
    screen.record(record("switch", "failed", phase="way_back", failure="no \x1b[31m"))
    screen.record(record("end", "end", phase="after"))

    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "backup ...",
        "  dumping [bold]users",
        "backup done in 3.0 s",
        "way back: switch failed after 0.0 s: no \\x1b[31m",
    ]
    assert said.out == ""


def test_refusal_is_left_to_the_last_words_and_a_way_back_says_why_it_begins(capsys):
    refused, undone = Lines(), Lines()

    for screen in (refused, undone):
        screen.record(record("health", "intent"))
        screen.record(record("health", "failed", second=2, failure="no answer"))
    undone.record(record("halt", "intent", phase="way_back"))
    undone.record(record("halt", "done", phase="way_back"))
    for screen in (refused, undone):
        screen.record(record("end", "end", phase="after"))
        screen.line("failed")

    failed = ["health ...", "health failed after 2.0 s"]
    assert capsys.readouterr().err.splitlines() == [
        *failed,
        *failed,
        "  no answer",
        "way back: halt ...",
        "way back: halt done in 0.0 s",
    ]


def test_live_view_keeps_why_the_way_back_begins_in_sight():
    stream = io.StringIO()
    view = LiveView(Console(file=stream, markup=False, highlight=False, emoji=False, width=80))

    view.record(record("health", "failed", failure="no answer"))
    view.record(record("halt", "intent", phase="way_back"))

    assert stream.getvalue().splitlines() == ["health failed after 0.0 s", "  no answer"]


def test_live_view_does_not_read_markup():
    stream = io.StringIO()
    console = Console(file=stream, markup=False, highlight=False, emoji=False, width=80)
    view = LiveView(console)

    view.record(record("build", "intent"))
    view.line("[red]:bomb: step 1[/red]\x1b[2J")
    console.print(view)

    assert "build ... 0 s  [red]:bomb: step 1[/red]\\x1b[2J" in stream.getvalue()


def test_live_view_shows_how_far_it_is_until_the_next_line():
    stream = io.StringIO()
    console = Console(file=stream, markup=False, highlight=False, emoji=False, width=80)
    view = LiveView(console)
    view.record(record("backup", "intent"))
    view.line(Passing("backup: 3.0 MiB of 4.0 MiB, 1.0 MiB/s, 1 s left"))
    console.print(view)
    assert "backup ... 0 s  backup: 3.0 MiB of 4.0 MiB, 1.0 MiB/s, 1 s left" in stream.getvalue()


def test_live_view_of_a_narrow_terminal_shows_two_lines_of_it_and_no_more():
    stream = io.StringIO()
    console = Console(file=stream, markup=False, highlight=False, emoji=False, width=40)
    view = LiveView(console)
    view.line(Passing("backup: 3.0 MiB of 4.0 MiB, 1.0 MiB/s, 1 s left, 1,234 documents, 3 files"))
    console.print(view)
    shown = stream.getvalue().splitlines()
    assert len(shown) == 2
    assert "1 s left, 1,234 documents" in shown[1]


def test_screen_is_plain_lines_where_there_is_no_terminal():
    with opened() as screen:
        assert isinstance(screen, Lines)


@pytest.fixture
def watched():
    with Interrupt(Lines()) as interrupt:
        yield interrupt


def press():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)


def test_ctrl_c_interrupts_once(watched):
    watched.arm()
    with pytest.raises(KeyboardInterrupt):
        press()

    press()


@pytest.mark.parametrize(
    "seen",
    [
        record("build", "failed"),
        record("switch", "intent", phase="way_back"),
        record("commit", "intent"),
        record("end", "end", phase="after"),
    ],
)
def test_ctrl_c_does_not_break_the_way_back_or_the_commit(watched, seen):
    watched.arm()
    watched.record(seen)

    press()


def test_ctrl_c_does_not_break_a_recovery(watched):
    press()


def test_hang_up_is_ignored(watched):
    os.kill(os.getpid(), signal.SIGHUP)
    time.sleep(0.01)


def test_lost_reader_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as broken:
        stream = output.Stream(broken)
        assert stream.write("one\n") == 4
        assert stream.write("two\n") == 4


def test_exit_code_survives_a_lost_reader(cli):
    argv = cli.argv("history", "shopp")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(argv, cwd=TOP, env=cli.environment(), stderr=writer, check=False)
    finally:
        os.close(writer)

    assert done.returncode == 2


def test_live_view_on_a_terminal_that_hangs_up(cli):
    """A recovery's or a deployment's screen must not fail when its terminal goes away."""
    script = (
        "import time\n"
        "from worker.cli.screen import opened\n"
        "with opened() as screen:\n"
        "    print(type(screen).__name__, flush=True)\n"
        "    for n in range(40):\n"
        "        screen.line(f'line {n}')\n"
        "        screen.record({'phase': 'deploy', 'step': 'build', 'event': 'done',"
        " 'time': '2026-11-22T14:30:00.000Z', 'facts': {}})\n"
        "        time.sleep(0.05)\n"
        "print('end')\n"
    )
    master, terminal = pty.openpty()
    argv = [*cli.argv()[:3], "-c", script]
    env = cli.environment(TERM="xterm")
    with subprocess.Popen(
        argv, cwd=TOP, env=env, stdout=subprocess.PIPE, stderr=terminal, text=True
    ) as child:
        os.close(terminal)
        view = child.stdout.readline()
        os.close(master)
        out, _ = child.communicate(timeout=180)

    assert (view + out).split() == ["LiveView", "end"]
    assert child.returncode == 0
