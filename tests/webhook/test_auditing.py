"""The audit log: what it says of calls, and that it can only grow."""

import json
import os
import stat
import subprocess
import sys

import pytest

from tests.webhook.deliveries import headers_of
from worker import audit as module
from worker.audit import Audit

UNKNOWN = "20261122t143000-000000"


@pytest.fixture
def audit(config):
    return Audit(config.server.state_dir)


def test_accepted_call_says_who_what_when_and_from_where(client, bearer, audit):
    client.get("/api/v1/apps", headers=bearer("read"))
    there = {"REMOTE_ADDR": "192.0.2.9"}
    path = "/api/v1/apps/thynk/deployments"

    made = client.post(path, headers=bearer("deploy"), environ_overrides=there)

    [record] = audit.read()
    assert record.pop("time") > "2026"
    assert record == {
        "token": "deploy-token",
        "role": "deploy",
        "from": "192.0.2.9",
        "verb": "POST",
        "path": path,
        "call": "deploy",
        "app": "thynk",
        "about": None,
        "status": 202,
        "made": made.json["deployment"],
    }
    assert stat.S_IMODE(os.stat(audit.done).st_mode) == 0o600
    assert not audit.refused.exists()


def test_refused_calls_are_in_a_file_of_their_own(client, bearer, audit):
    reader, path = bearer("read"), "/api/v1/apps/thynk/rollback"
    client.post(path, headers=reader)
    client.post(path)
    client.get("/api/v1/apps?token=secret-of-mine")
    client.post("/hooks/github/thynk", data=b"{}", headers=headers_of(b"{}", secret=b"x"))
    client.post("/api/v1/apps/" + "x" * 500 + "/stop", headers=bearer("deploy"))

    told = [(one["token"], one["call"], one["status"]) for one in audit.read()]

    assert told == [
        ("read-token", "rollback", 403),
        (None, "rollback", 401),
        (None, "github", 401),
        ("deploy-token", "stop", 404),
    ]
    text = audit.refused.read_text()
    assert "secret-of-mine" not in text
    assert max(map(len, text.splitlines())) < 1000
    assert not audit.done.exists()
    assert stat.S_IMODE(os.stat(audit.refused).st_mode) == 0o600


def test_flood_of_refused_calls_is_bounded_on_disk(audit, monkeypatch):
    monkeypatch.setattr(module, "MOST", 10_000)
    audit.add({"time": "1", "status": 202}, refused=False)
    for number in range(2000):
        audit.add({"time": str(number), "status": 401}, refused=True)

    sizes = [path.stat().st_size for path in audit.done.parent.glob("refused*")]
    assert (len(sizes), sum(sizes) < 25_000) == (2, True)
    assert audit.done.read_text() == '{"time": "1", "status": 202}\n'
    assert "1999" in [one["time"] for one in audit.read()]


def test_torn_lines_are_left_out_and_no_link_is_followed(audit, tmp_path):
    audit.done.parent.mkdir()
    audit.done.write_text('[]\n{"time": "2", "sta\n{"time": "1", "status": 202}\n')
    assert audit.read() == [{"time": "1", "status": 202}]
    elsewhere = tmp_path / "elsewhere"
    audit.refused.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic"):
        audit.add({"time": "3"}, refused=True)
    assert not elsewhere.exists()


def test_audit_that_cannot_be_written_is_told_and_changes_no_answer(client, bearer, audit, caplog):
    deployer = bearer("deploy")
    audit.done.mkdir()

    answer = client.post("/api/v1/apps/thynk/deployments", headers=deployer)

    assert answer.status_code == 202
    assert "audit.failed" in caplog.messages


def test_no_call_reaches_the_audit_log(client):
    rules = [rule.rule for rule in client.application.url_map.iter_rules()]

    assert not [rule for rule in rules if "audit" in rule]


def test_ids_of_paths_are_checked_before_they_name_a_file(client, bearer, audit, config):
    headers = bearer("admin")
    before = sorted(config.server.state_dir.rglob("*"))
    ids = ("..", "%2e%2e%2f%2e%2e%2fetc", "a%00b", "x" * 300, "%0a", UNKNOWN)
    for one in ids:
        for path in (f"deployments/{one}/cancel", f"deployments/{one}/approve"):
            assert client.post(f"/api/v1/{path}", headers=headers).status_code == 404, path
        for path in (f"apps/{one}/stop", f"apps/thynk/backups/{one}/verify"):
            assert client.post(f"/api/v1/{path}", headers=headers).status_code == 404, path

    made = {path.name for path in config.server.state_dir.rglob("*")} - {p.name for p in before}
    assert made <= {"refused.jsonl"}


def test_command_line_shows_it(config_path, audit):
    audit.add({"time": "1", "token": "ci", "verb": "POST", "status": 202}, refused=False)
    audit.add({"time": "2", "path": "/\x1b[2J", "status": 401}, refused=True)

    def shown(*argv):
        command = [sys.executable, "-m", "worker.cli", "audit", "--config", str(config_path), *argv]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=120
        ).stdout

    records = json.loads(shown("--json"))["records"]
    assert [one["status"] for one in records] == [202, 401]
    text = shown("--tail", "1")
    assert "\\x1b[2J" in text
    assert "ci" not in shown("--refused")
