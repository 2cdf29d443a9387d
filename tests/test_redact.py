import io
import json
import logging

import pytest

from worker import logs
from worker.redact import Redactor, plain, stripped

ENV = """
# a comment with = in it
PORT=5000
export JWT_SECRET="s3cr3t value&more"
MONGODB_URI=mongodb://app:p%40ssw0rd-9@host.docker.internal:27017/thynk # the database
SINGLE='quoted-value'
BROKEN=unclosed://[::1
  INDENTED = spaced-value
"""


@pytest.mark.parametrize(
    "leak",
    [
        "s3cr3t value&more",
        "s3cr3t%20value%26more",
        "s3cr3t+value%26more",
        "mongodb://app:p%40ssw0rd-9@host.docker.internal:27017/thynk",
        "p%40ssw0rd-9",
        "p@ssw0rd-9",
        "quoted-value",
        "unclosed://[::1",
        "spaced-value",
    ],
)
def test_values_of_an_env_file_are_not_shown_in_any_form(leak):
    assert Redactor.from_env_text(ENV)(f"before {leak} after") == "before [redacted] after"


def test_short_values_and_names_stay():
    line = "JWT_SECRET on PORT=5000"

    assert Redactor.from_env_text(ENV)(line) == line


def test_longest_value_goes_first():
    redact = Redactor(["password", "password-and-more"])

    assert redact("password-and-more password") == "[redacted] [redacted]"


def test_each_line_of_a_long_value_is_a_secret():
    redact = Redactor(["-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\n-----END KEY-----"])

    assert redact("got MIIEowIBAAKCAQEA") == "got [redacted]"


def test_values_are_taken_as_they_are_not_as_patterns():
    redact = Redactor(["a.b.c.d.e", ".*.*.*.*.*"])

    assert redact("aXbXcXdXe a.b.c.d.e .*.*.*.*.*") == "aXbXcXdXe [redacted] [redacted]"


def test_more_values_can_be_added():
    redact = Redactor(["first-secret"]).adding(["second-secret"])

    assert redact("first-secret second-secret") == "[redacted] [redacted]"


def test_nothing_to_hide_changes_nothing():
    assert Redactor(["", "short"])("short") == "short"


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x1b]52;c;aGk=\x07", r"\x1b]52;c;aGk=\x07"),
        ("a\nERROR fake", r"a\nERROR fake"),
        ("a\rb", r"a\rb"),
        ("a\u202eb\u2066", r"a\u202eb\u2066"),
        ("a\u2028b\x85\x00", r"a\u2028b\x85\x00"),
        ("lone \ud800", r"lone \ud800"),
        ("tab\t é ✓", "tab\t é ✓"),
    ],
)
def test_hostile_text_cannot_act_on_a_terminal(hostile, shown):
    assert plain(hostile) == shown
    assert plain(stripped(hostile)) == stripped(hostile)


@pytest.fixture
def written():
    """Start logging into a text; give back a function that reads its lines."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level
    logs.start(Redactor(["top-secret-value"]), stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], level = before
    root.setLevel(level)


def test_event_is_one_line_of_json_with_its_fields(written):
    logging.getLogger("x").info("delivery.refused", extra={"app": "thynk\n", "n": 1, "no": None})

    (line,) = written()
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "event": "delivery.refused",
        "app": "thynk\n",
        "n": 1,
        "no": None,
    }


def test_no_secret_is_logged_wherever_it_stands(written):
    log = logging.getLogger("x")
    nested = {
        "detail": ["top-secret-value", {"top-secret-value": RuntimeError("top-secret-value")}]
    }
    log.info("made with %s", "top-secret-value", extra=nested)
    try:
        int("top-secret-value")
    except ValueError:
        log.exception("job.crashed")

    text = json.dumps(written())
    assert "top-secret-value" not in text
    assert "Traceback" in text
