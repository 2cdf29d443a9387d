"""One JSON object a line; journald or Docker keeps them.

An event is `noun.past_participle`, values are fields (`extra={...}`). Nothing
is written that a redactor has not seen.
"""

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

from worker.clock import rfc3339

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

Redact = Callable[[str], str]


class JsonFormatter(logging.Formatter):
    """Renders the event's name, its fields, and a traceback if there is one."""

    def __init__(self, redact: Redact = str) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON in ASCII."""
        event = {
            "time": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _STANDARD},
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(self._clean(event))

    def _clean(self, value: Any) -> Any:
        """Return the value without secrets, in shapes that JSON has."""
        if isinstance(value, dict):
            return {self._redact(str(key)): self._clean(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(inner) for inner in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self._redact(str(value))


def start(redact: Redact = str, *, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send every logger's records to the stream (standard error), and nowhere else."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(redact))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
