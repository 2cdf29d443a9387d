"""Apprise: one message to chats, mailboxes and phones, by their addresses.

Only `worker.notify.send` imports this, in a process that is killed when it hangs. Apprise's
own plugins alone: none are loaded from the home folder. What it logs may hold a secret part
of an address, so of that only HTTP's status code is passed on.
"""

import logging
import re
from collections.abc import Sequence

import apprise

_CODE = re.compile(r"error=(\d{3})\b")


class _Codes(logging.Handler):
    """Keeps the status codes of what is logged, and nothing else."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found += _CODE.findall(record.getMessage())


def send(addresses: Sequence[str], title: str, body: str, *, good: bool) -> str | None:
    """Send it to all of them; return None, or in words that may be shown why not."""
    codes = _Codes()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [codes], False
    asset = apprise.AppriseAsset(
        app_id="sheetanchor", app_desc="sheetanchor", async_mode=False, plugin_paths=[]
    )
    there = apprise.Apprise(asset=asset)
    for number, address in enumerate(addresses, 1):
        if not there.add(address):
            return f"address {number} is none that Apprise knows"
    kind = apprise.NotifyType.SUCCESS if good else apprise.NotifyType.FAILURE
    text = apprise.NotifyFormat.TEXT
    if there.notify(body=body, title=title, notify_type=kind, body_format=text):
        return None
    return f"it answered {codes.found[-1]}" if codes.found else "it gave no good answer"
