"""The app that the tests deploy: a page, documents, uploads, and ways to be ill.

`release.json` beside it says which version this is and how it behaves;
`migration.py` beside it, if there, is run before it serves.
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pymongo import MongoClient

BORN = time.monotonic()
RELEASE = json.loads(Path("/app/release.json").read_text())
UPLOADS = Path("/app/uploads")
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def database():
    uri = os.environ["MONGODB_URI"]
    return MongoClient(uri, serverSelectionTimeoutMS=5000).get_default_database()


def age():
    return time.monotonic() - BORN


def healthy():
    mode = RELEASE.get("mode")
    if mode == "never_healthy":
        return False
    if mode == "healthy_then_not":
        return age() < RELEASE.get("after", 3)
    return True


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/healthz":
            return self.answer(200 if healthy() else 503, {})
        if self.path == "/environment":
            return self.answer(200, dict(os.environ))
        if self.path.startswith("/file/"):
            return self.answer(200, Path(self.path[5:]).read_text())
        return self.answer(200, {"version": RELEASE["version"]})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/documents":
            DB.documents.insert_one(json.loads(body))
        else:
            (UPLOADS / self.path.rpartition("/")[2]).write_bytes(body)
        self.answer(201, {})

    def log_message(self, *_):
        pass


def die_later():
    time.sleep(RELEASE["after"])
    os._exit(1)


mode = RELEASE.get("mode")
if mode == "exits":
    sys.exit("this version exits at once")
if mode == "crash_loop":
    time.sleep(RELEASE.get("after", 0.3))
    sys.exit("this version crashes again and again")
DB = database()
if Path("/app/migration.py").exists():
    exec(Path("/app/migration.py").read_text(), {"db": DB, "uploads": UPLOADS})
if mode == "dies":
    threading.Thread(target=die_later, daemon=True).start()
ThreadingHTTPServer(("0.0.0.0", 8000), Page).serve_forever()
