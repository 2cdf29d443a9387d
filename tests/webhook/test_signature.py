import hmac
import json
from pathlib import Path

import pytest

from tests.webhook.deliveries import GUID, OLD_SECRET, REVISION, SECRET, payload, sign
from webhook import event, signature
from webhook.signature import Keyring, matches

BODY = json.dumps(payload()).encode()


def test_githubs_published_vector_is_accepted():
    header = b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

    assert matches([b"It's a Secret to Everybody"], b"Hello, World!", header)


def test_each_secret_is_accepted_while_they_are_rotated(deliver):
    assert deliver(secret=SECRET).status_code == 202
    assert deliver(secret=OLD_SECRET, guid=GUID.replace("7", "8")).status_code == 202


def test_every_secret_is_always_tried_also_for_an_app_that_is_not(monkeypatch):
    keyring = Keyring({"two": [b"a" * 16, b"b" * 16], "one": [b"c" * 16]})
    compared, real = [], hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(a) or real(a, b))

    for app, secret in [("two", b"a" * 16), ("two", b"b" * 16), ("one", b"x"), ("none", b"x")]:
        compared.clear()
        keyring.signed(app, BODY, sign(BODY, secret).encode())
        assert len(compared) == 2


def test_other_apps_secret_does_not_open_this_app():
    keyring = Keyring({"thynk": [SECRET], "shop": [b"s" * 32]})

    assert not keyring.signed("thynk", BODY, sign(BODY, b"s" * 32).encode())


REFUSED = {
    "missing": None,
    "empty": "",
    "wrong": sign(BODY, b"another secret at all"),
    "truncated": sign(BODY)[:-1],
    "longer": sign(BODY) + "0",
    "doubled": f"{sign(BODY)},{sign(BODY)}",
    "upper-case": "sha256=" + sign(BODY).removeprefix("sha256=").upper(),
    "without-its-prefix": sign(BODY).removeprefix("sha256="),
    "non-ascii": "sha256=é" + "0" * 63,
    "of-another-body": sign(BODY + b" "),
    "sha1-in-it": "sha1=" + hmac.new(SECRET, BODY, "sha1").hexdigest(),
}


@pytest.fixture
def refused(deliver):
    """The answer to a delivery with no signature at all."""
    return deliver(BODY, X_Hub_Signature_256=None)


@pytest.mark.parametrize("header", REFUSED.values(), ids=REFUSED)
def test_refusals_are_byte_identical_and_leave_no_trace(deliver, refused, redis, header):
    answer = deliver(BODY, X_Hub_Signature_256=header)

    assert answer.status_code == 401
    assert (answer.data, answer.headers) == (refused.data, refused.headers)
    assert redis.keys("*") == []


@pytest.mark.parametrize("app", ["nothing", "THYNK", "thynk ", "..", "%00", "é", "a" * 1000])
def test_unknown_app_is_refused_like_a_bad_signature(deliver, refused, app):
    answer = deliver(BODY, app=app)

    assert (answer.status_code, answer.data) == (401, refused.data)
    assert answer.headers == refused.headers


def test_sha1_alone_is_refused(deliver, refused):
    sha1 = "sha1=" + hmac.new(SECRET, BODY, "sha1").hexdigest()

    answer = deliver(BODY, X_Hub_Signature_256=None, X_Hub_Signature=sha1)

    assert (answer.status_code, answer.data) == (401, refused.data)


def test_refusal_never_holds_the_signature_that_was_expected(deliver, caplog):
    answer = deliver(BODY, X_Hub_Signature_256="sha256=" + "0" * 64)

    expected = sign(BODY).removeprefix("sha256=")
    assert expected not in answer.text
    assert expected not in caplog.text


def test_nothing_is_parsed_before_the_signature_holds(deliver, monkeypatch):
    parsed = []
    monkeypatch.setattr(event, "load", parsed.append)

    assert deliver(b"{", secret=b"wrong").status_code == 401
    assert deliver(b"{", secret=b"wrong", Content_Type="text/plain", guid=None).status_code == 401
    assert parsed == []


def test_wrong_signature_beats_every_other_fault(deliver, refused):
    answer = deliver(b"x", secret=b"wrong", Content_Type="a/b", X_GitHub_Delivery="no", event="?")

    assert answer.data == refused.data


def test_signatures_are_compared_in_constant_time_only():
    """Nowhere by ==; where they are is one call."""
    source = Path(signature.__file__).read_text()

    assert source.count("compare_digest(") == 1
    assert "==" not in source


def test_signed_body_is_the_raw_one(deliver):
    spaced = json.dumps(payload(), indent=7).encode()

    assert deliver(spaced).status_code == 202
    assert REVISION.encode() in spaced
