"""Where the engine is: behind a Unix socket, or at an address that a proxy may lead to."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from worker.adapters.engine import Engine


class Version(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"ApiVersion": "1.41"}')

    def log_message(self, *_):
        pass


def asks_for_proxies():
    client = Engine()._client
    try:
        return client.api.trust_env
    finally:
        client.close()


def test_no_proxy_is_looked_for_on_the_way_to_a_unix_socket():
    assert not asks_for_proxies()


def test_a_proxy_is_looked_for_on_the_way_to_an_address(monkeypatch):
    with HTTPServer(("127.0.0.1", 0), Version) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert asks_for_proxies()
        server.shutdown()
