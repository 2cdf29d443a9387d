"""SIGTERM to whoever runs deployments: what runs is let finish, and nothing more is begun.

A deployment that is cut off costs an outage and a way back; one that waits in the queue
costs nothing. So a stop is a wish that is looked at between two deployments, however
often it is sent.
"""

import signal
import threading


def listen(stopping: threading.Event) -> None:
    """Let SIGTERM and Ctrl-C ask for the end. For the main thread of a process."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
