"""The application factory: limits, headers, blueprints, error handlers."""

from flask import Flask, Response
from redis import Redis

from webhook import access, api, auditing, document, hooks, logs, metrics, orders, problems, slow
from webhook.intake import Intake
from webhook.limits import Limits
from webhook.signature import Keyring
from webhook.tally import Tally
from worker.audit import Audit
from worker.config import Config
from worker.configfile import check_secrets
from worker.ledger import Ledger
from worker.tokens import Tokens

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def create_app(config: Config, redis: Redis) -> Flask:
    """Build the app around a configuration and a connection; Redis is not asked yet.

    Raises ConfigError when a webhook secret is missing, short or readable by others.
    """
    app = routed()
    app.extensions["keyring"] = Keyring(check_secrets(config))
    app.extensions["tokens"] = Tokens(config.server.state_dir)
    ledger = Ledger(redis)
    app.extensions["intake"] = Intake(config, redis, ledger)
    app.extensions["tally"] = Tally(ledger.counts)
    app.extensions["followers"] = logs.Followers()
    app.extensions["limits"] = Limits()
    app.extensions["audit"] = Audit(config.server.state_dir)
    app.extensions["trusted"] = config.server.trusted_proxies
    app.before_request(access.let_in)
    app.after_request(app.extensions["tally"].note)
    app.after_request(_with_headers)
    app.after_request(auditing.record)
    problems.register(app)
    return app


def routed() -> Flask:
    """Return an app with all calls and nothing behind them: enough to describe them."""
    app = Flask("webhook", static_folder=None)
    for one in (hooks, api, logs, metrics, orders, slow, document):
        app.register_blueprint(one.bp)
    return app


def _with_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response
