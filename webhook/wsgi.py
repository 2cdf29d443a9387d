"""What gunicorn loads: `gunicorn --config python:webhook.gunicorn_conf webhook.wsgi:app`."""

import logging
import os
import sys
from collections.abc import Mapping

from flask import Flask

from webhook.app import create_app
from worker import configfile, ledger, logs
from worker.errors import ConfigError, SheetanchorError
from worker.ledger import reach
from worker.redact import Redactor

BOOT_FAILED = 3  # gunicorn then stops, and does not start worker after worker


def load(env: Mapping[str, str]) -> Flask:
    """Return the app of this environment. Raises ConfigError or UnavailableError."""
    logs.start()
    config = configfile.load(configfile.find(None, env))
    url = env.get("SHEETANCHOR_REDIS_URL") or config.server.redis_url
    if not url:
        raise ConfigError(
            "The web process was started without a Redis.",
            remedy="Set $SHEETANCHOR_REDIS_URL, or start it with `sheetanchor up`.",
        )
    secrets = configfile.check_secrets(config).values()
    logs.start(Redactor(one.decode(errors="replace") for many in secrets for one in many))
    redis = ledger.connect(url, for_web=True)
    ledger.check(redis)
    reach.warn(redis)
    return create_app(config, redis)


def _load() -> Flask:
    try:
        return load(os.environ)
    except SheetanchorError as error:
        extra = {"detail": error.message, "remedy": error.remedy}
        logging.getLogger(__name__).critical("web.refused", extra=extra)
        sys.exit(BOOT_FAILED)


app = _load()
