"""Each command's module can be imported alone: other tests run commands where all are there."""

import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("module", ["showing", "tokens"])
def test_what_reads_files_only_imports_no_client_of_docker_or_mongodb(module):
    found = "print({'docker', 'pymongo', 'bson'} & set(sys.modules))"
    argv = [sys.executable, "-W", "error", "-c", f"import sys, worker.cli.{module}; {found}"]
    done = subprocess.run(argv, cwd=TOP, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "set()"


def test_status_imports_no_driver_of_mongodb_and_who_deploys_has_it_before_it_forks():
    argv = [sys.executable, "-W", "error", "-c"]
    for module, there in (("worker.cli.status", False), ("worker.bells", True)):
        asked = f"import sys, {module}; print('pymongo' in sys.modules)"
        done = subprocess.run([*argv, asked], cwd=TOP, text=True, capture_output=True, check=True)
        assert done.stdout.strip() == str(there), module


def test_each_command_is_imported_without_the_others():
    argv = [sys.executable, "-W", "error", "-c", ALONE]
    done = subprocess.run(argv, cwd=TOP, text=True, capture_output=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")
