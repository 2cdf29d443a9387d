"""The OpenAPI document: all calls, as they are. That answers fit it, every test of this folder
that uses `client` checks (`documented`)."""

import json
import re
import subprocess
import sys

import pytest
from flask import Response

from tests.webhook.documented import faults
from webhook.access import OPEN
from webhook.app import routed
from webhook.document import document


@pytest.fixture(scope="module")
def found():
    return document(routed())


def operations(found):
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def test_every_route_is_in_it_and_nothing_else(found):
    routes = {
        (re.sub("<(.+?)>", r"{\1}", rule.rule), method)
        for rule in routed().url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }

    assert {(path, method) for path, method, _ in operations(found)} == routes
    assert len(routes) > 20


def test_each_call_has_a_name_a_role_and_all_its_problems(found):
    names = [operation["operationId"] for _, _, operation in operations(found)]
    assert len(set(names)) == len(names)
    roles = {
        operation["operationId"]: operation["security"] for _, _, operation in operations(found)
    }
    assert sorted(name for name, role in roles.items() if not role) == sorted(
        one.rpartition(".")[2] for one in OPEN
    )
    assert (roles["history"], roles["deploy"]) == ([{"token": ["read"]}], [{"token": ["deploy"]}])
    assert roles["approve"] == [{"token": ["admin"]}]
    for path, _, operation in operations(found):
        statuses = set(operation["responses"])
        assert {"400", "429", "500", "503"} <= statuses
        assert ({"401", "403"} <= statuses) or not operation["security"]
        assert ({"413", "415"} <= statuses) or "requestBody" not in operation
        assert ("404" in statuses) == ("{" in path)


def test_it_is_open_api_3_1_without_loose_ends(found):
    assert found["openapi"] == "3.1.0"
    assert found["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}
    refs = set(re.findall('"#/components/schemas/(.+?)"', json.dumps(found)))
    assert refs <= set(found["components"]["schemas"])
    assert found["components"]["schemas"]["Deploy"]["additionalProperties"] is False
    assert "queued" in found["components"]["schemas"]["Status"]["enum"]


def test_server_and_command_line_show_it(client, bearer, found):
    answer = client.get("/api/openapi.json", headers=bearer("read"))
    argv = [sys.executable, "-W", "error", "-m", "worker.cli", "openapi"]
    printed = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)

    assert answer.json == found
    assert json.loads(printed.stdout) == found


def test_answers_that_say_more_or_less_are_found():
    def judged(body, status=202, rule="/api/v1/apps/<name>/deployments", kind="application/json"):
        return faults(rule, "POST", Response(json.dumps(body), status, content_type=kind))

    assert judged({"status": "queued", "deployment": "x"}) == []
    assert judged({"status": "queued"}) == ["$: 'deployment' is a required property"]
    assert "more" in judged({"status": "queued", "deployment": "x", "more": 1})[0]
    assert judged({"status": "queued", "deployment": "x"}, 201) == [
        "the status 201 is not promised"
    ]
    assert "text/html" in judged({}, kind="text/html")[0]
