"""Runs `sheetanchor …` in forks of one process that has imported it already.

A command is a process of its own all the same: it can die, holds its own locks, and has its own
umask, environment and streams. Only its imports are not paid anew, which were a fifth of the
processor time of the end-to-end tests. That it starts from nothing is shown by all that tests
start by themselves (`sys.executable -m worker.cli`): every server, and what is killed or typed to.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

from worker.cli import main as sheetanchor
from worker.cli.commands import COMMANDS

TOP = Path(__file__).parents[1]
LONGEST = 1 << 17  # bytes of a request; the kernel takes no more than some 200,000
COMMAND = [sys.executable, "-m", "tests.forks"]


def run(argv, *, cwd=TOP, env=None, umask=None, input="", timeout=400, strict=False):  # noqa: A002 - its name there
    """Run `sheetanchor` with these arguments to its end; return what `subprocess.run` would.

    `strict`: a warning is an error.
    """
    env = dict(os.environ if env is None else env)
    asked = {"argv": argv, "cwd": str(cwd), "env": env, "umask": umask, "strict": strict}
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(input.encode())
        files[0].seek(0)
        said, tell = (stack.enter_context(open(end, "rb+", 0)) for end in os.pipe())
        handed = [*(one.fileno() for one in files), tell.fileno()]
        socket.send_fds(_server(), [json.dumps(asked).encode()], handed)
        tell.close()
        code = _code(said, argv, timeout)
        out, err = (_text(one) for one in files[1:])
    return subprocess.CompletedProcess(argv, code, out, err)


def _code(said, argv, timeout):
    """Return the exit code that comes after the id; kill the command when it does not come."""
    pid = int(said.readline())
    if not select.select([said], [], [], timeout)[0]:
        os.kill(pid, signal.SIGKILL)
        raise subprocess.TimeoutExpired(argv, timeout)
    return int(said.readline())


def _text(file):
    file.seek(0)
    return file.read().decode()


@cache
def _server():
    """Start the process that is forked. It ends when this one does."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    null = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    with its:
        argv = [*COMMAND, str(its.fileno())]
        child = subprocess.Popen(argv, cwd=TOP, pass_fds=[its.fileno()], **null)
    atexit.register(_stop, ours, child)
    return ours


def _stop(ours, child):
    ours.close()
    child.wait(10)


def _serve(requests):
    """Fork for each request; return its arguments in the fork, once it is what was asked for."""
    while True:
        data, handed, _, _ = socket.recv_fds(requests, LONGEST, 4)
        if not data:
            os._exit(0)
        if os.fork() == 0:
            return _become(json.loads(data), handed, requests)
        for one in handed:
            os.close(one)
        _bury()


def _bury():
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(asked, handed, requests):
    """Fork once more: the first waits for the second, which goes on as the command."""
    requests.close()
    *streams, tell = handed
    if pid := os.fork():
        os.write(tell, f"{pid}\n".encode())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(tell, f"{status}\n".encode())
        os._exit(0)
    for number, one in enumerate(streams):
        os.dup2(one, number)
    for one in handed:
        os.close(one)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    if asked["umask"] is not None:
        os.umask(asked["umask"])
    if asked["strict"]:
        warnings.simplefilter("error")
    return asked["argv"]


def main():
    for module in {module for module, _ in COMMANDS.values()}:
        importlib.import_module(f"worker.cli.{module}")
    gc.collect()
    gc.freeze()
    sys.argv[1:] = _serve(socket.socket(fileno=int(sys.argv[1])))
    return sheetanchor()


if __name__ == "__main__":
    sys.exit(main())
