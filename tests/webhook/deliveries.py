"""Deliveries as GitHub sends them; the payloads are our own, in the shape of GitHub's."""

import hmac
import json
from pathlib import Path
from urllib.parse import urlencode

FORM = "application/x-www-form-urlencoded"
SECRET = b"0123456789abcdef-the-app"
OLD_SECRET = b"fedcba9876543210-rotated"
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
REVISION = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
MESSAGE = "Ask twice before deleting a room\n\nIt cannot be undone."


def payload(name="push", **changes):
    """Return a payload of `payloads/`, with changes."""
    path = Path(__file__).parent / "payloads" / f"{name}.json"
    return json.loads(path.read_text()) | changes


def form(content):
    """Return a delivery as GitHub encodes it with its older content type."""
    return urlencode({"payload": json.dumps(content)}).encode()


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
