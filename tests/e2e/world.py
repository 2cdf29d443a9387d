"""One app on one server, as a test sees it: push, ask, look, kill."""

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import docker

from tests import forks
from tests.e2e import fingerprint
from worker.adapters.compose_command import binary
from worker.clock import SystemClock
from worker.decisions import Decisions
from worker.deployment import view
from worker.journal import Journal

HERE = Path(__file__).parent
TOP = HERE.parent.parent
FINAL = ["succeeded", "failed", "rolled_back", "inconsistent", "superseded", "skipped", "cancelled"]
WHO = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
SOME_TIME = timedelta(minutes=58)  # with the first pause of a minute
LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until(condition, what, seconds=60.0, every=0.05):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(every)
    raise AssertionError(f"not within {seconds:g} s: {what}")


class World:
    """`health`, `backup`, `data`, `app`: tables of the configuration, added to the usual ones."""

    def __init__(self, home, mongod, *, branch="main", **tables):
        self.home, self.mongod, self.branch = home, mongod, branch
        self.name = "t" + secrets.token_hex(4)
        self.origin, self.clone = home / "origin.git", home / "clone"
        self.checkout, self.state = home / self.name, home / "state"
        self.uploads = self.checkout / "uploads"
        self.port, self.listen = free_port(), free_port()
        self.secret = secrets.token_hex(32)
        self.uri = f"mongodb://host.docker.internal:{mongod.port}/{self.name}"
        self.db = mongod.client[self.name]
        self.config = home / "sheetanchor.toml"
        self.processes = []
        self.tables = {"health": {}, "backup": {}, "app": {}, "data": {}, **tables}
        self._repository()
        self._configuration()

    # --- the developer's side

    def _repository(self):
        git = self.git
        git("init", "--quiet", "--bare", "-b", self.branch, str(self.origin), cwd=self.home)
        git("clone", "--quiet", str(self.origin), str(self.clone), cwd=self.home)
        git("checkout", "--quiet", "-B", self.branch)
        for name in ("app.py", "Dockerfile", "docker-compose.yml"):
            shutil.copy(HERE / "app" / name, self.clone / name)
        (self.clone / "uploads").mkdir()
        (self.clone / "uploads" / ".gitkeep").touch()
        (self.clone / ".gitignore").write_text(".env.production\nbackups/\n")
        self.commit({"release.json": release("one")})

    def git(self, *argv, cwd=None):
        where = cwd or self.clone
        return subprocess.run(
            ["git", *WHO, *argv], cwd=where, check=True, text=True, capture_output=True
        ).stdout.strip()

    def commit(self, files, message="change"):
        """Commit and push files (None deletes); return the revision."""
        for name, content in files.items():
            path = self.clone / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        self.git("add", "--all")
        # Two commits of the same within a second would be one, and that may be decided already.
        mail = f"user.email={uuid.uuid4()}@example.org"
        self.git("-c", mail, "commit", "--quiet", "--allow-empty", "-m", message)
        self.git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{self.branch}")
        return self.git("rev-parse", "HEAD")

    def push(self, files, message="change"):
        """Push files and deliver it as GitHub does; return the deployment's id."""
        before = self.git("rev-parse", "HEAD")
        revision = self.commit(files, message)
        status, answer = self.deliver(revision, before=before, message=message)
        assert status == 202, answer
        return answer["deployment"]

    def deliver(
        self, revision, *, before="0" * 40, message="change", guid=None, event="push", **fields
    ):
        """Send one signed delivery, with these fields of its body; return status and answer."""
        body = json.dumps(
            {
                "ref": f"refs/heads/{self.branch}",
                "before": before,
                "after": revision,
                "created": False,
                "deleted": False,
                "forced": False,
                "repository": {"id": 1, "full_name": "acme/shop"},
                "pusher": {"name": "ann", "email": "ann@example.org"},
                "head_commit": {"id": revision, "message": message, "author": {"name": "Ann"}},
                "commits": [],
                **fields,
            }
        ).encode()
        mac = hmac.new(self.secret.encode(), body, "sha256").hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": guid or str(uuid.uuid4()),
            "X-Hub-Signature-256": f"sha256={mac}",
        }
        return self.ask("POST", f"/hooks/github/{self.name}", body, headers)

    # --- the server's side

    def _configuration(self):
        secret = self.home / "secret"
        secret.write_text(self.secret + "\n")
        secret.chmod(0o600)
        health = {
            "urls": [f"http://127.0.0.1:{self.port}/healthz"],
            "timeout": 25,
            "stable_for": 1,
            **self.tables["health"],
        }
        app = {
            "repository": "acme/shop",
            "branch": self.branch,
            "checkout": str(self.checkout),
            "clone_url": str(self.origin),
            "webhook_secret_file": str(secret),
            "env_file": ".env.production",
            "reconcile": 0,  # but for the look at a worker's start, nothing is deployed unasked
            **self.tables["app"],
        }
        tables = {
            "server": {"state_dir": str(self.state), "listen": f"127.0.0.1:{self.listen}"},
            f"apps.{self.name}": app,
            f"apps.{self.name}.data": {
                "mongodb": "env_file:MONGODB_URI",
                "uploads": ["uploads"],
                **self.tables["data"],
            },
            f"apps.{self.name}.backup": {"dir": "backups", **self.tables["backup"]},
            f"apps.{self.name}.health": health,
        }
        self.config.write_text(
            "\n".join(f"[{name}]\n{toml(table)}" for name, table in tables.items())
        )

    def prepare(self):
        """Clone the checkout and write the env file, as a person does once."""
        self.git("clone", "--quiet", str(self.origin), str(self.checkout), cwd=self.home)
        env = self.checkout / ".env.production"
        env.write_text(f"MONGODB_URI={self.uri}\nPORT={self.port}\n")
        env.chmod(0o600)

    def begin(self):
        """Bring everything up and deploy version one by a push; then write data."""
        self.prepare()
        self.up()
        first = self.wait(self.deliver(self.git("rev-parse", "HEAD"))[1]["deployment"])
        assert first["status"] == "succeeded", first
        self.fill()

    @property
    def decisions(self):
        """What is decided of the app."""
        return Decisions(self.state / "apps" / self.name / "decisions.json")

    def nothing_was_lost(self):
        """Have a worker's look at its start wait for the push that each test delivers itself."""
        if not self.decisions.path.exists():
            self.decisions.path.parent.mkdir(parents=True, exist_ok=True)
            self.decisions.postpone(
                None, "none", datetime.now(UTC) + SOME_TIME, "a test", died=False
            )

    def fill(self):
        """Write documents and uploads as users do."""
        self.db.documents.insert_many([{"n": n, "text": f"document {n}"} for n in range(200)])
        self.db.documents.create_index("n", unique=True)
        self.db.people.insert_many([{"name": f"person {n}"} for n in range(150)])
        for n in range(5):
            (self.uploads / f"upload-{n}.txt").write_text(f"upload {n}")
        os.chown(self.uploads / "upload-0.txt", 1234, 1234)
        (self.uploads / "upload-1.txt").chmod(0o640)
        (self.uploads / "folder").mkdir()
        (self.uploads / "folder" / "inner.txt").write_text("inner")

    def start(self, *argv, **options):
        """Start `sheetanchor …` and remember it; its output goes to a file."""
        if argv[0] in ("up", "worker"):
            self.nothing_was_lost()
        command = [sys.executable, "-m", "worker.cli", "--config", str(self.config), *argv]
        with (self.home / f"{argv[0]}-{len(self.processes)}.log").open("w") as log:
            child = subprocess.Popen(
                command, cwd=TOP, stdout=log, stderr=log, start_new_session=True, **options
            )
        self.processes.append(child)
        return child

    def up(self):
        """Start web, worker and Redis; return when they are ready."""
        self.server = self.start("up")
        until(lambda: self.ask("GET", "/readyz")[0] == 200, "the server is ready")

    def start_redis(self):
        """Start a Redis of our own."""
        socket_ = self.home / "r.sock"
        argv = ["redis-server", "--port", "0", "--unixsocket", str(socket_), "--appendonly", "yes"]
        argv += ["--appendfsync", "always", "--save", "", "--dir", str(self.home)]
        self.redis = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        self.processes.append(self.redis)
        until(socket_.exists, "Redis listens")
        self.config.write_text(
            self.config.read_text().replace(
                "[server]\n", f'[server]\nredis_url = "unix://{socket_}"\n'
            )
        )

    def stop(self, child, number=signal.SIGTERM, seconds=60):
        """End a process that this test started."""
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)
        child.wait(seconds)

    def cli(self, *argv, check=None, **options):
        """Run `sheetanchor …` to its end; with an `env` of its own from nothing, else as a fork."""
        argv = ["--config", str(self.config), *argv]
        done = forks.run(argv, **options) if "env" not in options else anew(argv, **options)
        if check is not None:
            assert done.returncode == check, (
                f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def cli_json(self, *argv, check=0):
        return json.loads(self.cli("--json", *argv, check=check).stdout)

    # --- asking

    def ask(self, method, path, body=None, headers=None):
        """Return status and decoded answer of the web process; 0 when nobody answers."""
        url = f"http://127.0.0.1:{self.listen}{path}"
        request = urllib.request.Request(url, body, headers or {}, method=method)
        try:
            with LOCAL.open(request, timeout=10) as answer:
                return answer.status, decoded(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, decoded(error.read())
        except (OSError, http.client.HTTPException):
            return 0, None

    def token(self, role="admin"):
        """Return a token's header."""
        made = self.cli("token", "create", f"t-{secrets.token_hex(3)}", "--role", role, check=0)
        return {"Authorization": f"Bearer {made.stdout.strip().splitlines()[-1]}"}

    def api(self, method, path, body=None, role="admin"):
        if not hasattr(self, "_tokens"):
            self._tokens = {}
        if role not in self._tokens:
            self._tokens[role] = self.token(role)
        data = json.dumps(body).encode() if body is not None else None
        headers = {**self._tokens[role], "Content-Type": "application/json"}
        return self.ask(method, f"/api/v1{path}", data, headers)

    def deployment(self, identity):
        """Return a deployment from its journal on disk; None when it has none yet."""
        path = self.state / "apps" / self.name / "journal" / f"{identity}.jsonl"
        journal = Journal(path, SystemClock())
        records = journal.records()
        return view(journal.deployment(), records) if records else None

    def wait(self, identity, seconds=300):
        """Wait for a deployment's end; return it."""

        def ended():
            found = self.deployment(identity)
            return found if found and found["status"] in FINAL else None

        return until(ended, f"deployment {identity} ends", seconds, every=0.25)

    def wait_for_step(self, identity, step, phase="deploy", seconds=300):
        """Wait until a step runs (or has run)."""

        def begun():
            found = self.deployment(identity)
            steps = found["steps"] if found else []
            return any((s["name"], s["phase"]) == (step, phase) for s in steps)

        until(begun, f"{phase}.{step} of {identity} begins", seconds)

    def version(self):
        """Return the version that answers, or None."""
        try:
            with LOCAL.open(f"http://127.0.0.1:{self.port}/", timeout=30) as answer:
                return json.load(answer)["version"]
        except (OSError, http.client.HTTPException):
            return None

    def post(self, path, body):
        """Write something through the app; return whether it was acknowledged."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body)
        try:
            with LOCAL.open(request, timeout=30) as answer:
                return answer.status == 201
        except (OSError, http.client.HTTPException):
            return False

    def environment(self):
        with LOCAL.open(f"http://127.0.0.1:{self.port}/environment", timeout=30) as answer:
            return json.load(answer)

    def ask_app(self, path):
        with LOCAL.open(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.load(answer)

    def restart_app(self):
        """Restart the container, as a crash would: its migration runs again."""
        client = docker.from_env()
        try:
            [web] = client.containers.list(
                filters={
                    "label": [
                        f"com.docker.compose.project={self.name}",
                        "com.docker.compose.service=web",
                    ]
                }
            )
            web.restart()
        finally:
            client.close()

    def fingerprint(self):
        return fingerprint.take(self)

    def containers(self):
        return fingerprint.containers(self.name)

    def policy(self):
        """Return the name of the web container's restart policy now."""
        return dict(self.containers()["web-1"][2])["Name"]

    def backups(self):
        """Return the manifests of the backups on disk, oldest first."""
        folder = self.checkout / "backups"
        found = sorted(folder.glob("2*/manifest.json")) if folder.exists() else []
        return [json.loads(path.read_text()) | {"path": path.parent} for path in found]

    def compose(self, *argv):
        command = [binary(), "--env-file", ".env.production", *argv]
        env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "COMPOSE_BAKE": "false"}
        return subprocess.run(
            command, cwd=self.checkout, env=env, text=True, capture_output=True, check=True
        )

    # --- the end

    def tell(self):
        """Print what a person would look at after a failure."""
        for log in sorted(self.home.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text()[-3000:]}")
        for log in sorted((self.state / "apps" / self.name / "logs").glob("*.log")):
            print(f"--- {log.name}\n{log.read_text()[-4000:]}")

    def close(self):
        for child in self.processes:
            if child.poll() is None:
                child.kill()
                child.wait()
        self.kill_leftovers()
        fingerprint.remove(self.name)
        self.mongod.client.drop_database(self.name)

    def kill_leftovers(self):
        """Kill what still names this world's folder on its command line or environment."""
        for pid in self.pids(str(self.home)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def pids(self, pattern):
        """Return processes whose command line or environment matches, without ourselves."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if re.search(re.escape(pattern).encode(), text):
                    found.append(int(entry.name))
        return found


def anew(argv, **options):
    command = [sys.executable, "-m", "worker.cli", *argv]
    return subprocess.run(
        command, cwd=TOP, text=True, capture_output=True, timeout=400, check=False, **options
    )


def release(version, **fields):
    return json.dumps({"version": version, **fields})


def toml(table):
    """Return a flat table as TOML."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


def decoded(data):
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")


def digest(data):
    return hashlib.sha256(data).hexdigest()
