"""Runs programs. The only module that imports subprocess.

A child is never left behind: it gets SIGKILL when the thread that started it
dies (`setpriv --pdeathsig`), a session of its own, and the deployment's id in
its environment, by which `kill_marked` finds what is left of it, grandchildren
too. No shell, no standard input, no environment but the one given.
"""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from worker.clock import Clock, SystemClock
from worker.errors import CommandError, UnavailableError

MARK = "SHEETANCHOR_DEPLOYMENT"
TAIL = 40  # lines of output kept for the error
GRACE = 5.0  # seconds that output may lag behind the program's end
LONGEST_LINE = 4_000  # characters
LOOK = 0.5  # seconds between two questions whether to give up

Line = Callable[[str], None]
_give_up: ContextVar[Callable[[], None]] = ContextVar("give_up", default=lambda: None)


@dataclass(frozen=True)
class User:
    """Whom a program runs as."""

    uid: int
    gid: int
    home: str


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    timeout: float,
    env: Mapping[str, str],
    mark: str | None = None,
    user: User | None = None,
    on_line: Line | None = None,
    both: bool = False,
    umask: int = 0o077,
) -> str:
    """Run a program to its end and return its standard output.

    `timeout` is in seconds; at the limit the program's whole group is killed.
    `on_line` gets each line of standard error as it comes, and with `both` of
    standard output, which is then not returned; `mark` is the id of
    the deployment it works for. Raises CommandError when the program is
    missing, exits non-zero or is killed; the error holds its last lines.
    """
    try:
        child = subprocess.Popen(
            [*_tied(user), *argv],
            cwd=cwd,
            env=_environment(env, mark, user),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            umask=umask,
        )
    except OSError as error:
        raise CommandError(argv, "could not be started", str(error)) from error
    try:
        return _wait(child, argv, timeout, on_line, both=both)
    except BaseException:
        _kill_group(child.pid)
        child.wait()
        raise


@contextmanager
def given_up(ask: Callable[[], None]) -> Iterator[None]:
    """Ask now and then while this thread waits for a program: what `ask` raises kills it."""
    token = _give_up.set(ask)
    try:
        yield
    finally:
        _give_up.reset(token)


def _wait(
    child: subprocess.Popen[str],
    argv: Sequence[str],
    timeout: float,
    on_line: Line | None,
    *,
    both: bool,
) -> str:
    """Return what the child wrote, once it has ended well."""
    tail: deque[str] = deque(maxlen=TAIL)
    stdout: list[str] = []
    readers = [
        threading.Thread(target=_read_lines, args=(child.stderr, tail, on_line), daemon=True),
        threading.Thread(target=_read_lines, args=(child.stdout, tail, on_line), daemon=True)
        if both
        else threading.Thread(target=_read_all, args=(child.stdout, stdout), daemon=True),
    ]  # each closes its pipe: to close it from here would wait for whoever holds it
    for reader in readers:
        reader.start()
    try:
        code = _code(child, timeout)
    except subprocess.TimeoutExpired as error:
        raise CommandError(argv, f"ran longer than {timeout:g} s", "\n".join(tail)) from error
    for reader in readers:
        reader.join(timeout=GRACE)  # a grandchild may hold the pipe open for ever
    if code != 0:
        outcome = f"exited {code}" if code > 0 else f"was killed by signal {-code}"
        raise CommandError(argv, outcome, "\n".join(tail) or "".join(stdout)[-2_000:])
    return "".join(stdout)


def _code(child: subprocess.Popen[str], timeout: float) -> int:
    while timeout > LOOK:
        with suppress(subprocess.TimeoutExpired):
            return child.wait(timeout=LOOK)
        timeout -= LOOK
        _give_up.get()()
    return child.wait(timeout=timeout)


def _read_lines(stream: IO[str], tail: deque[str], on_line: Line | None) -> None:
    with stream:
        for line in stream:
            text = line.rstrip("\n")[:LONGEST_LINE]
            tail.append(text)
            if on_line:
                on_line(text)


def _read_all(stream: IO[str], into: list[str]) -> None:
    with stream:
        into.extend(stream)


def _tied(user: User | None) -> list[str]:
    argv = ["setpriv", "--pdeathsig", "KILL"]
    if user and user.uid != os.getuid():
        argv += [f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"]
    return [*argv, "--"]


def _environment(env: Mapping[str, str], mark: str | None, user: User | None) -> dict[str, str]:
    marked = {MARK: mark} if mark else {}
    home = {"HOME": user.home} if user else {}
    return {**env, **home, **marked}


def kill_marked(deployment: str, *, timeout: float = 30, clock: Clock | None = None) -> list[int]:
    """Kill every process that works for this deployment; return their ids.

    For the recovery of a dead process's deployment, under its lock. Raises
    UnavailableError when some are still there after `timeout` seconds.
    """
    clock, killed = clock or SystemClock(), set()
    deadline = clock.monotonic() + timeout
    while left := _marked(deployment):
        for pid in left:
            killed.add(pid)
            _kill(pid)
        if clock.monotonic() > deadline:
            raise UnavailableError(
                f"Processes {sorted(left)} of deployment {deployment} did not die.",
                remedy="Look at them with ps; they may wait for a disk.",
            )
        clock.sleep(0.02)
    return sorted(killed)


def _marked(deployment: str) -> list[int]:
    wanted = f"{MARK}={deployment}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:  # it ended while we looked
                continue
    return found


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent does; leave now if it has.

    For the process that RQ forks for a job: without this it lives on as an
    orphan beside whoever recovers (measured).
    """
    import ctypes  # noqa: PLC0415 - needed in this one place

    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Child:
    """A long-lived program of ours: the web process, Redis, a run of one app.

    It dies with the thread that starts it, so that thread must be a lasting one.
    """

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self.name = name
        self._child = subprocess.Popen(
            [*_tied(None), *argv], env=dict(env), stdin=subprocess.DEVNULL, start_new_session=True
        )

    def ended(self) -> int | None:
        """Return its exit code, or None while it runs."""
        return self._child.poll()

    def stop(self, *, timeout: float | None) -> None:
        """Ask it to end and wait; after `timeout` seconds (None: never) kill its group."""
        self._child.terminate()
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            _kill_group(self._child.pid)
            self._child.wait()

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        return self._child.wait()
