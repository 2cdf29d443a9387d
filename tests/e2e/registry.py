"""A registry on loopback, from which Docker really pulls; its tags move when a test says so."""

import contextlib
import hashlib
import io
import json
import shutil
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUSYBOX = shutil.which("busybox") or "/bin/busybox"  # of the package busybox-static
PROGRAMS = ("cat", "sh", "sleep", "test", "true", "wc")
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@contextlib.contextmanager
def registry(port=0):
    """Yield a running registry; on a port that a test has named before, if it says which."""
    made = Registry(port)
    try:
        yield made
    finally:
        made.close()


class Registry:
    """Offers small images of a busybox and a file `/marker`, for `docker pull`."""

    def __init__(self, port=0):
        self.blobs, self.manifests = {}, {}
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                kind, data = owner.find(self.path)
                self.send_response(200 if kind else 404)
                self.send_header("Content-Type", kind or "text/plain")
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Docker-Content-Digest", digest(data))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(data)

            def do_HEAD(self):
                self.do_GET()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_port}"

    def find(self, path):
        """Return the type and content of a request's answer."""
        last = path.rpartition("/")[2]
        if path == "/v2/":
            return "application/json", b"{}"
        if "/manifests/" in path:
            data = self.manifests.get(last) or self.blobs.get(last, b"")
            return (MANIFEST if data else None), data
        data = self.blobs.get(last, b"")
        return ("application/octet-stream" if data else None), data

    def offer(self, tag, marker):
        """Let a tag mean an image whose `/marker` holds this text."""
        layer = _layer(marker)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Env": ["PATH=/bin"]},
                "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
                "history": [{"created_by": marker}],
            }
        ).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": self._blob(CONFIG, config),
                "layers": [self._blob(LAYER, layer)],
            }
        ).encode()
        self.manifests[tag] = self.blobs[digest(manifest)] = manifest

    def _blob(self, kind, data):
        self.blobs[digest(data)] = data
        return {"mediaType": kind, "size": len(data), "digest": digest(data)}

    def close(self):
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _layer(marker):
    """Return a tar of the programs and the marker."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        tar.add(BUSYBOX, "bin/busybox")
        for name in PROGRAMS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        file = tarfile.TarInfo("marker")
        file.size = len(marker)
        tar.addfile(file, io.BytesIO(marker.encode()))
    return whole.getvalue()
