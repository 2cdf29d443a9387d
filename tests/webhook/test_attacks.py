"""schemathesis over the whole document, as each role, against a real gunicorn: all its checks.

Each role meets another phase of it, so that it takes a minute; SHEETANCHOR_ATTACK=1000 makes
so many examples of each call, in all phases, for each role: an hour or so.
"""

import copy
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import until
from tests.deployments import asked_for
from tests.webhook.conftest import Gunicorn, configured
from tests.webhook.deliveries import REVISION
from webhook.app import routed
from webhook.document import document
from worker.deployment import view
from worker.ledger import Ledger
from worker.tokens import Role, Tokens

EXAMPLES = os.environ.get("SHEETANCHOR_ATTACK")
ALL = "examples,coverage,fuzzing,stateful"
PHASES = {Role.READ: "fuzzing", Role.DEPLOY: "coverage", Role.ADMIN: "fuzzing,stateful"}
BACKUP = "20261122_143000"
KNOWN = {"name": ["thynk"], "app": ["thynk"], "backup": [BACKUP]}
CONFIRM = {"type": "string", "enum": ["thynk"]}
LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def attacked(redis_server):
    home = Path(tempfile.mkdtemp(prefix="sa-web-"))
    port = free_port()
    config = configured(home)
    server = Gunicorn(
        home, config, redis_server.url, bind=f"127.0.0.1:{port}", app="tests.webhook.attacked:app"
    )
    server.url = f"http://127.0.0.1:{port}"

    def answers():
        try:
            with LOCAL.open(f"{server.url}/healthz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    try:
        until(answers, "gunicorn answers")
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


def fill(redis):
    """Have something there of each kind; return the ids of deployments that have ended."""
    ledger, ids = Ledger(redis), []
    for number, status in enumerate(("succeeded", "failed", "rolled_back", "cancelled")):
        asked = asked_for(id=f"20261122t14300{number}-3f9a1c", app="thynk")
        facts = {"new_privileges": "service web is privileged"}
        pull = {"name": "pull", "phase": "deploy", "status": "failed", "facts": facts}
        pull |= {"started_at": "2026-11-22T14:30:00.000Z", "seconds": 1.5}
        ledger.publish(view(asked) | {"status": status, "steps": [pull]}, asked)
        ledger.append_log(asked.id, "one", "\x1b[2Jtwo")
        ids.append(asked.id)
    running = {"release": ids[0], "revision": REVISION, "since": None, "by": "ann"}
    ledger.put_app("thynk", {"name": "thynk", "running": running, "hold": None})
    made = {"app": "thynk", "kind": "manual", "created_at": "2026-11-22T14:30:00.000Z"}
    ledger.put_backups("thynk", [made | {"id": BACKUP, "verified_at": None, "bytes": 0}])
    redis.set(f"sheetanchor:worker:{socket.gethostname()}", "1")  # for /readyz
    return ids


def aimed(deployments):
    """Return the document with ids that there are: else nearly all calls would find nothing."""
    found = copy.deepcopy(document(routed()))
    known = KNOWN | {"deployment": deployments}
    for path in found["paths"].values():
        for operation in path.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    parameter["schema"]["enum"] = known[parameter["name"]]
    shapes = found["components"]["schemas"]
    shapes["Restore"]["properties"]["confirm"] = CONFIRM
    shapes["Rollback"]["then"]["properties"]["confirm"] = CONFIRM
    shapes["Rollback"]["properties"]["to"] = {"enum": [None, *deployments]}
    return found


@pytest.mark.parametrize("role", Role)
def test_schemathesis_finds_nothing(attacked, redis, tmp_path, role):
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(aimed(fill(redis))))
    token = Tokens(attacked.state_dir).create(role, role)
    argv = [Path(sys.executable).parent / "schemathesis", "run", path, "--url", attacked.url]
    argv += ["--phases", ALL if EXAMPLES else PHASES[role], "--max-examples", EXAMPLES or "4"]
    argv += [] if EXAMPLES else ["--seed", "1"]  # the same each time
    argv += ["--checks", "all", "--request-timeout", "60"]
    argv += ["--header", f"Authorization: Bearer {token}", "--no-color", "--continue-on-failure"]

    ran = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr
    assert "request.crashed" not in attacked.log.read_text()
