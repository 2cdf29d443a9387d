import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worker.adapters import process
from worker.errors import CancelledError, CommandError

ENV = {"PATH": os.defpath}


def run(*argv, timeout=10, **options):
    return process.run(argv, cwd=Path("/"), timeout=timeout, env=ENV, **options)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid, seconds=60):
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_output_comes_back_and_errors_carry_the_last_lines():
    assert run("sh", "-c", "echo out; echo err >&2") == "out\n"
    with pytest.raises(CommandError, match="exited 3") as caught:
        run("sh", "-c", "echo why >&2; exit 3")
    assert caught.value.tail == "why"


def test_child_sees_neither_our_secrets_nor_our_input(monkeypatch):
    monkeypatch.setenv("SECRET", "hidden")

    assert "SECRET" not in run("env")
    assert run("cat") == ""


def test_timeout_kills_what_the_program_started(tmp_path):
    """A build left running behind a way back would move its tags again."""
    pids = tmp_path / "pids"
    with pytest.raises(CommandError, match=r"ran longer than 0\.5 s"):
        run("sh", "-c", f"sleep 60 & echo $! > {pids}; sleep 60", timeout=0.5)

    assert gone(int(pids.read_text()))


def test_program_is_killed_once_it_is_given_up(tmp_path):
    pids, asked = tmp_path / "pids", []

    def ask():
        asked.append(pids.exists())
        if len(asked) == 2:
            raise CancelledError("Ann cancelled it.", remedy="Deploy again.")

    with pytest.raises(CancelledError), process.given_up(ask):
        run("sh", "-c", f"sleep 60 & echo $! > {pids}; sleep 60", timeout=60)

    assert gone(int(pids.read_text()))
    assert run("sh", "-c", "sleep 0.6; echo out", timeout=10) == "out\n"
    assert len(asked) == 2


def test_grandchild_that_holds_the_output_open_does_not_hold_us(monkeypatch):
    monkeypatch.setattr(process, "GRACE", 0.2)
    began = time.monotonic()

    run("sh", "-c", "setsid sleep 20 & exit 0", mark="d-3")

    assert time.monotonic() - began < 10
    process.kill_marked("d-3")


def test_child_dies_with_its_parent(tmp_path):
    pids = tmp_path / "pid"
    code = (
        "from worker.adapters import process; from pathlib import Path;"
        f"process.run(['sh', '-c', 'echo $$ > {pids}; exec sleep 60'], cwd=Path('/'),"
        " timeout=60, env={'PATH': '/bin:/usr/bin'})"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    while not (pids.exists() and pids.read_text().strip()):
        time.sleep(0.02)
    parent.send_signal(signal.SIGKILL)
    parent.wait()

    assert gone(int(pids.read_text()))


def test_what_is_left_of_a_deployment_is_found_and_killed_grandchildren_too(tmp_path):
    pids = tmp_path / "pid"
    run("sh", "-c", f"setsid sh -c 'echo $$ > {pids}; exec sleep 60' >&- 2>&- &", mark="d-1")
    while not (pids.exists() and pids.read_text().strip()):
        time.sleep(0.02)
    pid = int(pids.read_text())

    assert process.kill_marked("d-2") == []
    assert pid in process.kill_marked("d-1")
    assert gone(pid)
