import os
import subprocess
import sys

import pytest

from tests.conftest import until
from worker import failpoints
from worker.errors import UsageError
from worker.failpoints import ALLOWED, FOLDER

POINT = "deploy.switch.after_intent"
REACH = "from worker import failpoints; failpoints.reach('deploy', 'switch', 'after_intent')"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / POINT).touch()
    return tmp_path


@pytest.fixture
def reaching(folder):
    """A process that comes to the point."""
    env = os.environ | {FOLDER: str(folder), ALLOWED: "1"}
    with subprocess.Popen([sys.executable, "-c", REACH], env=env) as process:
        yield process
        process.kill()


def test_a_process_stands_at_its_point_until_it_is_let_go(folder, reaching):
    standing = folder / f"{POINT}.{reaching.pid}"
    until(standing.exists, "it stands there")
    assert reaching.poll() is None

    standing.unlink()

    assert reaching.wait(60) == 0


def test_who_stands_at_a_point_goes_on_only_once_its_file_is_gone(folder, monkeypatch):
    looks = []

    class Clock:
        def sleep(self, seconds):
            looks.append(seconds)
            if len(looks) == 3:
                (folder / f"{POINT}.{os.getpid()}").unlink()

    monkeypatch.setattr(failpoints, "SystemClock", Clock)
    monkeypatch.setenv(FOLDER, str(folder))
    monkeypatch.setenv(ALLOWED, "1")

    failpoints.reach("deploy", "switch", "after_intent")

    assert len(looks) == 3


def test_who_comes_to_the_point_of_a_killed_process_passes_by(folder, reaching):
    until((folder / f"{POINT}.{reaching.pid}").exists, "it stands there")
    reaching.kill()

    again = subprocess.run(
        [sys.executable, "-c", REACH],
        env=os.environ | {FOLDER: str(folder), ALLOWED: "1"},
        check=True,
        timeout=60,
    )

    assert again.returncode == 0


def test_nobody_stands_still_without_being_told_that_it_is_a_test(folder, monkeypatch):
    monkeypatch.setenv(FOLDER, str(folder))
    monkeypatch.delenv(ALLOWED, raising=False)

    failpoints.reach("deploy", "switch", "after_intent")

    assert (folder / POINT).exists()


def test_points_outside_a_test_are_refused():
    with pytest.raises(UsageError, match="would stand still"):
        failpoints.refuse_outside_tests({FOLDER: "/tmp/points"})

    failpoints.refuse_outside_tests({FOLDER: "/tmp/points", ALLOWED: "1"})
    failpoints.refuse_outside_tests({ALLOWED: "1"})


def test_the_command_line_refuses_points_outside_a_test(tmp_path):
    env = {k: v for k, v in os.environ.items() if k != ALLOWED} | {FOLDER: str(tmp_path)}
    argv = [sys.executable, "-m", "worker.cli", "status"]

    done = subprocess.run(argv, env=env, text=True, capture_output=True, timeout=60, check=False)

    assert done.returncode == 2
    assert "Unset it" in done.stderr
