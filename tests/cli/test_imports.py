"""Each command's module can be imported alone: other tests run commands where all are there."""

import subprocess
import sys

from tests.forks import TOP

ALONE = """
import importlib, os
import click, docker, pymongo, pydantic, redis, rich, rq

def alone(name):
    if os.fork() == 0:
        importlib.import_module(name)
        os._exit(0)
    return os.wait()[1] == 0

from worker.cli.commands import COMMANDS
names = sorted({f"worker.cli.{module}" for module, _ in COMMANDS.values()})
print(*[name for name in names if not alone(name)])
"""


def test_each_command_is_imported_without_the_others():
    argv = [sys.executable, "-W", "error", "-c", ALONE]
    done = subprocess.run(argv, cwd=TOP, text=True, capture_output=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")
