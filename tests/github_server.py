"""GitHub's side as its documentation says, for one repository, on this host.

What it refuses it refuses as GitHub does: 401 without the token, 404 for another repository,
422 for a body that does not hold. `next_answers` come before that: (status, headers, body).
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TOKEN = "github_pat_0123456789abcdefghijklmnop"
STATES = {"error", "failure", "pending", "success"}
DEPLOYED = {"error", "failure", "inactive", "in_progress", "queued", "pending", "success"}


class GitHubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, repository="acme/shop"):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repository, self.deployments, self.revisions = repository, [], None
        self.asked, self.statuses, self.next_answers = [], [], []
        self.hold = threading.Event()  # set: answers are held back
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.hold.clear()
        self.shutdown()
        self.server_close()

    def shown(self, revision, context="deploy/shop"):
        """Return the commit status that people see."""
        mine = [one for sha, one in self.statuses if (sha, one["context"]) == (revision, context)]
        return mine[-1] if mine else None

    def states(self, number):
        return [one["state"] for one in self.deployments[number - 1]["statuses"]]

    def answer(self, method, path, query, headers, body):
        if self.next_answers:
            return self.next_answers.pop(0)
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {}, {"message": "Bad credentials"}
        prefix = f"/repos/{self.repository}/"
        what = path.removeprefix(prefix).split("/") if path.startswith(prefix) else []
        return self._answer(method, what, query, body)

    def _answer(self, method, what, query, body):
        match method, what:
            case "POST", ["statuses", sha]:
                return self._status(sha, body)
            case "POST", ["deployments"]:
                return self._create(body)
            case "GET", ["deployments"]:
                asked = {name: values[0] for name, values in query.items()}
                some = [one for one in self.deployments if one["sha"] == asked["sha"]]
                some = [one for one in some if one["environment"] == asked["environment"]]
                return 200, {}, some
            case "POST", ["deployments", number, "statuses"]:
                return self._deployed(int(number), body)
        return 404, {}, {"message": "Not Found"}

    def _status(self, sha, body):
        if self.revisions is not None and sha not in self.revisions:
            return 422, {}, {"message": f"No commit found for SHA: {sha}"}
        if body["state"] not in STATES or len(body["description"]) > 140:
            return 422, {}, {"message": "Validation Failed"}
        self.statuses.append((sha, body))
        return 201, {}, {"id": len(self.statuses), **body}

    def _create(self, body):
        if body.get("auto_merge", True) or body.get("required_contexts") != []:
            return 409, {}, {"message": "Conflict: Commit status checks failed"}
        number = len(self.deployments) + 1
        made = {"id": number, "sha": body["ref"], "statuses": [], **body}
        self.deployments.append(made)
        return 201, {}, made

    def _deployed(self, number, body):
        if body["state"] not in DEPLOYED or len(body.get("description", "")) > 140:
            return 422, {}, {"message": "Validation Failed"}
        self.deployments[number - 1]["statuses"].append(body)
        return 201, {}, body


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self._do()

    def do_GET(self):
        self._do()

    def _do(self):
        parts = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
        self.server.asked.append((self.command, self.path, body))
        query = parse_qs(parts.query)
        found = self.server.answer(self.command, parts.path, query, self.headers, body)
        if found == "hang":
            self.server.hold.wait(30)
            return
        status, headers, body = found
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass
