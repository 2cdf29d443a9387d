"""Keeps the processes of `sheetanchor up` running, and stops them in order.

It is there all the time and does nothing, so it imports next to nothing: `up`
checks the configuration, then becomes this program (`python -m worker.supervise`).
What it runs comes as JSON: name, argv, `stops_within` (seconds; None: as long as
it takes) and `socket` (a Unix socket that answers once the program is ready).
They are started first to last and stopped last to first.
"""

import json
import os
import signal
import socket
import sys
import threading
from typing import Any

from worker.adapters.process import Child
from worker.clock import SystemClock

LOOKS_EVERY = 0.5  # seconds
RESTARTS_AFTER = 1.0  # seconds: one that ends at once must not fill the log
STARTS_WITHIN = 30.0  # seconds

Program = dict[str, Any]


def main() -> int:
    """Run until SIGTERM or Ctrl-C; start again what ends by itself. Exit code 0."""
    programs: list[Program] = json.loads(sys.argv[1])
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    running = {program["name"]: _start(program) for program in programs}
    while not stopping.wait(LOOKS_EVERY):
        for program in programs:
            if (code := running[program["name"]].ended()) is not None:
                tell("process.ended", process=program["name"], exit=code)
                stopping.wait(RESTARTS_AFTER)
                running[program["name"]] = _start(program)
    for program in reversed(programs):
        running[program["name"]].stop(timeout=program["stops_within"])
    return 0


def _start(program: Program) -> Child:
    """Start a program; wait until it is ready, but not for ever: others go on without it."""
    child, clock = Child(program["name"], program["argv"], os.environ), SystemClock()
    deadline = clock.monotonic() + STARTS_WITHIN
    while program["socket"] and not _answers(program["socket"]):
        if child.ended() is not None or clock.monotonic() > deadline:
            tell("process.not_ready", process=program["name"])
            break
        clock.sleep(0.05)
    return child


def _answers(path: str) -> bool:
    """Return whether a Redis answers PING there; one that loads its file does not yet."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(path)
            client.sendall(b"PING\r\n")
            return client.recv(5) == b"+PONG"
    except OSError:
        return False


def tell(event: str, **fields: Any) -> None:
    """Write an event as the other processes do: one JSON object a line."""
    sys.stderr.write(json.dumps({"level": "error", "event": event, **fields}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
