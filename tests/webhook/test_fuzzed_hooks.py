"""Any body with any headers gets an answer that the document promises, and never a 500.

SHEETANCHOR_FUZZ=100000 tries so many instead of a few hundred: some ten minutes.
"""

import json
import os
from collections import Counter
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.webhook.conftest import checking, configured
from tests.webhook.deliveries import FORM, GUID, SECRET, payload, sign
from webhook.app import create_app
from worker import configfile

CASES = int(os.environ.get("SHEETANCHOR_FUZZ", "0"))
HOW = settings(
    max_examples=CASES or 300,
    derandomize=not CASES,  # a run that nobody watches tries the same each time
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
BASES = [payload("push"), payload("ping"), {}]
KEYS = ["ref", "before", "after", "deleted", "repository", "full_name", "pusher", "name", "commits"]
KEYS += ["head_commit", "id", "message", "author", "sender", "login", "zen", "hook_id"]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(st.characters(), max_size=20),
    st.sampled_from(
        ["refs/heads/main", "refs/tags/v1", "0" * 40, "\x00", "\ud800", "[skip deploy]"]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def changed(draw):
    """A payload of GitHub's with other values at a few places."""
    found = json.loads(json.dumps(draw(st.sampled_from(BASES))))
    for _ in range(draw(st.integers(0, 4))):
        at, key = found, draw(st.sampled_from(KEYS))
        inner = [value for value in found.values() if isinstance(value, dict)]
        if inner and draw(st.booleans()):
            at = draw(st.sampled_from(inner))
        at[key] = draw(values)
    return found


@st.composite
def bodies(draw):
    kind = draw(
        st.sampled_from(["json", "json", "json", "any", "bytes", "doubled", "form", "deep"])
    )
    if kind == "bytes":
        return draw(st.binary(max_size=200))
    if kind == "deep":
        return b"[" * draw(st.integers(1, 5000))
    content = draw(values) if kind == "any" else draw(changed())
    text = json.dumps(content, ensure_ascii=draw(st.booleans()))
    if kind == "doubled":
        text = text[:-1] + ', "ref": "refs/heads/evil"}'
    body = text.encode(errors="surrogatepass")
    return urlencode({"payload": body}).encode() if kind == "form" else body


latin = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))


def mostly(*usual):
    """One of these, and any text one time in ten: else hardly one gets behind the signature."""
    return st.integers(0, 9).flatmap(lambda n: latin if n == 9 else st.sampled_from(usual))


@st.composite
def deliveries(draw):
    body = draw(bodies())
    headers = {
        "X-GitHub-Event": draw(mostly("push", "push", "push", "ping", "workflow_run")),
        "X-GitHub-Delivery": draw(mostly(GUID, str(draw(st.uuids())))),
        "X-Hub-Signature-256": draw(mostly(sign(body, SECRET))),
        "Content-Type": draw(mostly("application/json", "application/json", FORM)),
    }
    if draw(st.integers(0, 4)) == 4:
        name = draw(st.sampled_from([*headers, "Content-Encoding", "X-Forwarded-For"]))
        headers[name] = draw(latin)
    return body, headers


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory, redis_server):
    config = configfile.load(configured(tmp_path_factory.mktemp("fuzzed")))
    return checking(create_app(config, redis_server.client))


def test_no_delivery_is_answered_by_a_500(fuzzed, redis):
    statuses = Counter()

    @HOW
    @given(deliveries(), st.sampled_from(["thynk"] * 20 + ["shop", "none"]))
    def attack(delivery, app):
        body, headers = delivery
        status = fuzzed.post(f"/hooks/github/{app}", data=body, headers=headers).status_code
        assert status < 500
        statuses[status] += 1
        if statuses[202] % 200 == 199:
            redis.flushall()

    attack()

    assert {200, 202, 400, 401} <= set(statuses), statuses  # it got behind the signature
