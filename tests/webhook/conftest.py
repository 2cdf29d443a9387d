"""Deliveries as GitHub sends them; the payloads are our own, in the shape of GitHub's."""

import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import until
from webhook.app import create_app
from worker import configfile
from worker.ledger import connect
from worker.tokens import Tokens

SECRET = b"0123456789abcdef-the-app"
OLD_SECRET = b"fedcba9876543210-rotated"
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
REVISION = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
MESSAGE = "Ask twice before deleting a room\n\nIt cannot be undone."

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


@pytest.fixture
def config_path(tmp_path):
    """A configuration with two apps; thynk has an old secret too."""
    for app, lines in {"thynk": [SECRET, OLD_SECRET], "shop": [b"s" * 32]}.items():
        file = tmp_path / f"{app}.secret"
        file.touch(mode=0o600)
        file.write_bytes(b"\n".join(lines) + b"\n")
    path = tmp_path / "sheetanchor.toml"
    path.write_text(TOML.format(home=tmp_path))
    return path


@pytest.fixture
def config(config_path):
    return configfile.load(config_path)


@pytest.fixture
def client(config, redis):
    return create_app(config, redis).test_client()


@pytest.fixture
def client_of(config):
    """Give the client of an app on another Redis, connected as the web process does."""
    return lambda server: create_app(config, connect(server.url, for_web=True)).test_client()


@pytest.fixture
def bearer(config):
    """Make a token of a role; give its header."""
    tokens = Tokens(config.server.state_dir)
    return lambda role: {"Authorization": f"Bearer {tokens.create(f'{role}-token', role)}"}


def payload(name="push", **changes):
    """Return a payload of `payloads/`, with changes."""
    path = Path(__file__).parent / "payloads" / f"{name}.json"
    return json.loads(path.read_text()) | changes


def sign(body, secret=SECRET):
    return "sha256=" + hmac.new(secret, body, "sha256").hexdigest()


def headers_of(body, *, event="push", guid=GUID, secret=SECRET, **changes):
    """Return GitHub's headers for a body; a change to None takes one away."""
    headers = {
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": guid,
        "X-Hub-Signature-256": sign(body, secret),
        "Content-Type": "application/json",
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in headers.items() if value is not None}


@pytest.fixture
def deliver(client):
    """Send a payload (or raw bytes) to an app's hook."""

    def send(content=None, *, app="thynk", to=client, **how):
        body = content if isinstance(content, bytes) else json.dumps(content or payload()).encode()
        return to.post(f"/hooks/github/{app}", data=body, headers=headers_of(body, **how))

    return send


class Gunicorn:
    """The web process as production starts it."""

    def __init__(self, home, config_path, redis_url):
        self.socket = home / "web.sock"
        self.log = home / "web.log"
        env = os.environ | {
            "SHEETANCHOR_CONFIG": str(config_path),
            "SHEETANCHOR_REDIS_URL": redis_url,
        }
        argv = [sys.executable, "-m", "gunicorn", "--config", "python:webhook.gunicorn_conf"]
        argv += ["--bind", f"unix:{self.socket}", "webhook.wsgi:app"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(argv, env=env, stdout=log, stderr=log)

    def connect(self, seconds=15):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(seconds)
        client.connect(str(self.socket))
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


@pytest.fixture
def gunicorn(config_path, redis_url):
    home = Path(tempfile.mkdtemp(prefix="sa-web-"))
    server = Gunicorn(home, config_path, redis_url)
    try:
        until(server.answers, "gunicorn answers", 20)
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)
