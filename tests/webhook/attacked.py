"""The web process without its limits: else an attacker in a test would meet nothing but 429."""

from webhook.wsgi import app

for _window in ("failures", "work"):
    getattr(app.extensions["limits"], _window).most = 10**9
