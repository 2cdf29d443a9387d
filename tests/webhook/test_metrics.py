"""The numbers are the ledger's: the same from each process, and after any restart."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import until
from tests.deployments import asked_for
from tests.webhook.deliveries import headers_of, payload
from webhook.tally import EVERY
from worker import recovery
from worker.clock import rfc3339
from worker.deployment import new_id, view
from worker.ledger import Ledger
from worker.tokens import Tokens

RULES = Path(__file__).parents[2] / "deploy" / "alerts.yml"
START = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
STEPS = [("build", 5.0), ("switch", 0.4), ("health", 40.0)]


def ended(number=0, status="succeeded", app="thynk"):
    now = START + timedelta(seconds=number)
    asked = asked_for(id=new_id(now), app=app, queued_at=rfc3339(now))
    steps = [
        {"name": name, "phase": "deploy", "status": "done", "started_at": rfc3339(now)}
        | {"seconds": seconds, "facts": {}}
        for name, seconds in STEPS
    ]
    return view(asked) | {"status": status, "steps": steps, "outage_seconds": 2.5}


@pytest.fixture
def ledger(redis):
    return Ledger(redis)


@pytest.fixture
def scrape(client, bearer):
    headers = bearer("read")

    def read():
        answer = client.get("/metrics", headers=headers)
        assert answer.status_code == 200, answer.text
        return numbers_of(answer.text)

    return read


def numbers_of(text):
    """Return each sample by its name and its labels' values, in the order of their names."""
    return {
        (
            one.name.removeprefix("sheetanchor_"),
            *(value for _, value in sorted(one.labels.items())),
        ): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_metrics_need_a_token(client):
    assert client.get("/metrics").status_code == 401


def test_ended_deployments_are_counted_once_however_often_published(ledger, scrape):
    good, bad = ended(), ended(1, "rolled_back")
    for shown in (good | {"status": "running"}, good, good, bad):
        ledger.publish(shown)

    found = scrape()
    assert found["deployments_total", "thynk", "deploy", "succeeded", "push"] == 1
    assert found["deployments_total", "thynk", "deploy", "rolled_back", "push"] == 1
    assert found["step_seconds_count", "thynk", "deploy", "health"] == 2
    assert found["step_seconds_sum", "thynk", "deploy", "health"] == 80
    assert found["step_seconds_bucket", "thynk", "30.0", "deploy", "health"] == 0
    assert found["step_seconds_bucket", "thynk", "60.0", "deploy", "health"] == 2
    assert found["step_seconds_bucket", "thynk", "+Inf", "deploy", "health"] == 2
    assert found["outage_seconds_sum", "thynk"] == 5


def test_resumed_deployment_counts_for_both_its_ends_and_its_seconds_once(ledger, scrape):
    shown = ended(status="inconsistent")
    ledger.publish(shown)
    ledger.publish(shown | {"status": "rolled_back"})

    found = scrape()
    assert found["deployments_total", "thynk", "deploy", "inconsistent", "push"] == 1
    assert found["deployments_total", "thynk", "deploy", "rolled_back", "push"] == 1
    assert found["step_seconds_count", "thynk", "deploy", "build"] == 1


def test_counters_do_not_fall_when_the_history_is_cut_and_a_scrape_does_not_read_it(
    ledger, redis, scrape, monkeypatch
):
    monkeypatch.setattr("worker.ledger.HISTORY", 40)
    for number in range(50):
        ledger.publish(ended(number))
    commands = redis.info("stats")["total_commands_processed"]

    found = scrape()

    assert found["deployments_total", "thynk", "deploy", "succeeded", "push"] == 50
    assert redis.info("stats")["total_commands_processed"] - commands < 15


def test_queue_shows_its_depth_and_how_long_the_oldest_waits(ledger, scrape):
    now = datetime.now(UTC)
    for minutes in (10, 5):
        at = now - timedelta(minutes=minutes)
        ledger.accept(asked_for(id=new_id(at), app="thynk", queued_at=rfc3339(at)), guid=None)

    found = scrape()

    assert found["queue_deployments", "thynk"] == 2
    assert 600 <= found["queue_oldest_seconds", "thynk"] < 660
    assert (found["queue_deployments", "shop"], found["queue_oldest_seconds", "shop"]) == (0, 0)


def test_backups_drills_and_holds_are_shown(ledger, scrape):
    def backup(day, kind, verified=None):
        made = f"2026-11-{day}T02:00:00.000Z"
        return {"kind": kind, "created_at": made, "verified_at": verified, "bytes": int(day)}

    there = [backup(24, "safety", "2026-11-24T03:00:00.000Z"), backup(23, "scheduled")]
    there += [backup(22, "scheduled", "2026-11-22T03:00:00.000Z")]
    ledger.put_backups("thynk", there)
    drill = {"passed_at": "2026-11-22T04:00:00.000Z", "restore_seconds": 7.5, "failed": None}
    failed = {"failed": {"why": "the disk"}}
    state = {"drill": drill, "schedule": {"backup": failed, "drill": None}}
    ledger.put_app("thynk", state | {"hold": {"kind": "inconsistent"}})

    found = scrape()

    def day(number, hour):
        return datetime(2026, 11, number, hour, tzinfo=UTC).timestamp()

    assert found["backups", "thynk", "scheduled"] == 2
    assert found["backup_bytes", "thynk", "scheduled"] == 23
    assert found["backup_timestamp_seconds", "thynk", "safety"] == day(24, 2)
    assert found["backup_newest_timestamp_seconds", "thynk"] == day(23, 2)
    assert found["backup_verified_timestamp_seconds", "thynk"] == day(22, 3)
    assert found["drill_passed_timestamp_seconds", "thynk"] == day(22, 4)
    assert found["drill_restore_seconds", "thynk"] == 7.5
    assert found["schedule_failed", "thynk", "backup"] == 1
    assert found["hold", "thynk", "inconsistent"] == 1
    assert found["backup_newest_timestamp_seconds", "shop"] == 0


def test_recoveries_are_counted(ledger, scrape):
    recovery.count(ledger, "thynk", 1)
    recovery.count(ledger, "thynk", 2)
    recovery.count(None, "thynk", 1)

    assert scrape()["recoveries_total", "thynk"] == 3


def test_answers_of_the_hook_are_counted_and_of_nothing_else(deliver, client, scrape):
    for _ in range(2):
        assert deliver(b"{}", secret=b"wrong" * 8).status_code == 401
    assert deliver().status_code == 202
    client.get("/healthz")

    found = scrape()

    answers = {name[1]: much for name, much in found.items() if name[0] == "hook_answers_total"}
    assert answers == {"401": 2, "202": 1}


def test_answers_survive_a_redis_that_is_away(client_of, deliver, own_redis, bearer):
    client = client_of(own_redis)
    headers = bearer("read")
    own_redis.stop()
    assert deliver(to=client).status_code == 503
    assert client.get("/metrics", headers=headers).status_code == 503

    own_redis.start()

    found = numbers_of(client.get("/metrics", headers=headers).text)
    assert found["hook_answers_total", "503"] == 1


def test_both_processes_show_the_same_sums(gunicorn, redis):
    token = Tokens(gunicorn.state_dir).create("graphs", "read")
    body = json.dumps(payload()).encode()

    def ask(method, path, headers, content=b""):
        lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""])
        with gunicorn.connect() as client:
            client.sendall(head.encode() + content)
            return b"".join(iter(lambda: client.recv(65_536), b"")).decode()

    def counted():
        answer = ask("GET", "/metrics", {"Authorization": f"Bearer {token}"})
        sums = re.findall(r'^sheetanchor_hook_answers_total{status="4\d\d"} (\S+)$', answer, re.M)
        return sum(map(float, sums))

    for _ in range(20):
        ask("POST", "/hooks/github/thynk", headers_of(body, secret=b"wrong" * 8), body)
    until(lambda: counted() == 20, f"both flushed, each {EVERY} s")
    assert {counted() for _ in range(10)} == {20}


def test_alerts_name_metrics_that_exist(ledger, scrape):
    """Every name that a rule asks for is among those of a server where all has happened."""
    test_backups_drills_and_holds_are_shown(ledger, scrape)
    test_recoveries_are_counted(ledger, scrape)
    ledger.publish(ended())
    ledger.counts.add({"answer|202": 1})
    there = {f"sheetanchor_{name}" for name, *_ in scrape()}
    rules = [one for group in yaml.safe_load(RULES.read_text())["groups"] for one in group["rules"]]

    asked = {name for rule in rules for name in re.findall(r"sheetanchor_\w+", rule["expr"])}

    assert len(asked) >= 10
    assert asked <= there
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in rules)
