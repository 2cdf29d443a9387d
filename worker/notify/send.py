"""Sends one message to one target: `python -m worker.notify.send APP MESSAGE TARGET`.

A process of its own: Apprise's plugins may hang, and the address, a secret, is read here
alone. What they log may hold it, so of that only HTTP's status code is told.
"""

import json
import os
import sys

from worker import addressees, configfile
from worker.adapters import apprise
from worker.clock import SystemClock
from worker.errors import ConfigError
from worker.notify.conditions import RECOVERED, SUCCEEDED
from worker.notify.outbox import Outbox
from worker.state import State

GOOD = (RECOVERED, SUCCEEDED)


def main() -> int:
    """Send it; print why not, or null."""
    name, message, target = sys.argv[1:]
    config = configfile.load(configfile.find(None, os.environ))
    state = State.where(config, configfile.app_of(config, name))
    box = Outbox(state.notices, SystemClock()).read()
    [one] = [one for one in box["messages"] if one["id"] == message]
    try:
        addresses = addressees.addresses(target)
    except ConfigError as error:
        why: str | None = error.message.rstrip(".")
    else:
        why = apprise.send(addresses, one["title"], one["body"], good=one["event"] in GOOD)
    sys.stdout.write(json.dumps({"why": why}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
