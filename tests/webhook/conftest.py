"""A web process to deliver to: in this process, or gunicorn as production starts it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from flask import request
from flask.testing import FlaskClient

from tests.conftest import until
from tests.webhook.deliveries import OLD_SECRET, SECRET, headers_of, payload
from tests.webhook.documented import faults
from webhook.app import create_app
from worker import configfile
from worker.ledger import connect
from worker.tokens import Tokens

TOML = """
[server]
state_dir = "{home}/state"

[apps.thynk]
repository = "example/english-chat"
branch = "main"
checkout = "/srv/english-chat"
webhook_secret_file = "{home}/thynk.secret"

[apps.shop]
repository = "example/shop"
checkout = "/srv/shop"
webhook_secret_file = "{home}/shop.secret"
"""


def configured(home):
    """Write a configuration with two apps; thynk has an old secret too. Return its path."""
    for app, lines in {"thynk": [SECRET, OLD_SECRET], "shop": [b"s" * 32]}.items():
        file = home / f"{app}.secret"
        file.touch(mode=0o600)
        file.write_bytes(b"\n".join(lines) + b"\n")
    path = home / "sheetanchor.toml"
    path.write_text(TOML.format(home=home))
    return path


@pytest.fixture
def config_path(tmp_path):
    return configured(tmp_path)


@pytest.fixture
def config(config_path):
    return configfile.load(config_path)


def checking(app):
    """Return the app's client; an answer that the OpenAPI document does not promise fails."""

    def check(response):
        if request.url_rule is not None and request.method not in ("HEAD", "OPTIONS"):
            found = faults(request.url_rule.rule, request.method, response)
            wrong.extend(f"{request.method} {request.path}: {fault}" for fault in found)
        return response

    class Client(app.test_client_class or FlaskClient):
        def open(self, *args, **how):
            answer = super().open(*args, **how)
            assert wrong == []
            return answer

    wrong = []
    app.after_request(check)
    app.test_client_class = Client
    return app.test_client()


@pytest.fixture
def client(config, redis):
    return checking(create_app(config, redis))


@pytest.fixture
def client_of(config):
    """Give the client of an app on another Redis, connected as the web process does."""
    return lambda server: create_app(config, connect(server.url, for_web=True)).test_client()


@pytest.fixture
def bearer(config):
    """Make a token of a role; give its header."""
    tokens = Tokens(config.server.state_dir)
    return lambda role: {"Authorization": f"Bearer {tokens.create(f'{role}-token', role)}"}


@pytest.fixture
def deliver(client):
    """Send a payload (or raw bytes) to an app's hook."""

    def send(content=None, *, app="thynk", to=client, **how):
        body = content if isinstance(content, bytes) else json.dumps(content or payload()).encode()
        return to.post(f"/hooks/github/{app}", data=body, headers=headers_of(body, **how))

    return send


class Gunicorn:
    """The web process as production starts it."""

    def __init__(self, home, config_path, redis_url, *, bind=None, app="webhook.wsgi:app"):
        self.socket = home / "web.sock"
        self.log = home / "web.log"
        self.state_dir = home / "state"
        env = os.environ | {
            "SHEETANCHOR_CONFIG": str(config_path),
            "SHEETANCHOR_REDIS_URL": redis_url,
        }
        argv = [sys.executable, "-m", "gunicorn", "--config", "python:webhook.gunicorn_conf"]
        argv += ["--bind", bind or f"unix:{self.socket}", app]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(argv, env=env, stdout=log, stderr=log)

    def connect(self, seconds=60):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(seconds)
        try:
            client.connect(str(self.socket))
        except OSError:
            client.close()
            raise
        return client

    def answers(self):
        try:
            with self.connect(1) as client:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                return client.recv(100).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="module")
def gunicorn(redis_server):
    """One for all tests of a module, on the session's Redis; `redis` empties it."""
    home = Path(tempfile.mkdtemp(prefix="sa-web-"))  # short: socket paths are under 108 bytes
    server = Gunicorn(home, configured(home), redis_server.url)
    try:
        until(server.answers, "gunicorn answers")
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)
