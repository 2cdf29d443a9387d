"""gunicorn's settings: `gunicorn --config python:webhook.gunicorn_conf webhook.wsgi:app`.

gevent because slow clients must not keep GitHub waiting: with 1,000 of them
the worst good delivery took 0.17 s; gthread answered none (measured).
Name the address with --bind.
"""

import resource
from typing import Any

from gevent import monkey

monkey.patch_all()  # before the app is loaded, which `preload_app` does before a worker is

from worker import logs  # noqa: E402 - everything after the patch

preload_app = True  # the workers share its memory
worker_class = "gevent"
workers = 2
worker_connections = 4000
keepalive = 5  # seconds; with gevent also the time for the request line and headers
timeout = 30  # seconds without a sign of life from a worker, not of a request
graceful_timeout = 10
limit_request_line = 4094
limit_request_fields = 60
limit_request_field_size = 8190
forwarded_allow_ips = ""  # X-Forwarded-Proto from 127.0.0.1 would be believed otherwise
control_socket_disable = True  # a door that nobody uses
proc_name = "sheetanchor-web"
accesslog = None  # what was accepted, ignored or refused is logged as events
errorlog = "-"
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": logs.JsonFormatter}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True}},
}


def on_starting(_server: object) -> None:
    """Allow as many open files as connections: the soft limit is often 1024."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def post_worker_init(worker: Any) -> None:
    """Have those who follow a log come back later when this worker is asked to stop."""
    worker.wsgi.extensions["followers"].stopping = lambda: not worker.alive


def worker_exit(_server: object, worker: Any) -> None:
    """Count the last answers; `wsgi` is missing where the app could not be loaded."""
    if loaded := getattr(worker, "wsgi", None):
        loaded.extensions["tally"].flush()
