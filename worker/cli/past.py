"""Deployments from the journals on disk, and those that only the ledger knows.

The journals are the truth and need no Redis. The ledger adds what has no
journal: what is queued, and what was superseded while it was.
"""

from itertools import islice
from typing import Any

from worker import deployment
from worker.cli.session import Session
from worker.clock import SystemClock
from worker.config import App
from worker.configfile import redactor
from worker.deployment import view
from worker.errors import NotFoundError, UnavailableError
from worker.journal import Journal, journals
from worker.ledger import Ledger, connect, url_of
from worker.redact import Redactor
from worker.report import cleaned
from worker.state import State

View = dict[str, Any]


def ledger(session: Session) -> Ledger | None:
    """Return the ledger if its Redis answers within a second; nothing here needs it."""
    found = Ledger(connect(url_of(session.config), for_web=True))
    try:
        found.worker_listening()
    except UnavailableError:
        return None
    return found


def deployments(session: Session, app: App, ledger: Ledger | None, limit: int) -> list[View]:
    """Return the newest `limit` deployments of an app, newest first."""
    on_disk = journals(State.of(session.config, app).journals, SystemClock())
    redact = redactor(app)
    shown = (_shown(journal, redact) for journal in reversed(on_disk))
    found = list(islice(filter(None, shown), limit))
    known = {journal.path.stem for journal in on_disk}
    found += [one for one in _of_ledger(app, ledger, limit) if one["id"] not in known]
    return sorted(found, key=lambda one: str(one["id"]), reverse=True)[:limit]


def with_journal(session: Session, wanted: str) -> tuple[View, Journal]:
    """Return a deployment of any app that has begun, and its journal. Raises NotFoundError."""
    shown = one(session, wanted, None)
    state = State.of(session.config, session.app(shown["app"]))
    return shown, Journal(state.journals / f"{shown['id']}.jsonl", SystemClock())


def one(session: Session, wanted: str, ledger: Ledger | None) -> View:
    """Return a deployment of any app. Raises NotFoundError."""
    if deployment.ID.match(wanted):  # it becomes a file's name
        for app in session.config.apps.values():
            path = State.of(session.config, app).journals / f"{wanted}.jsonl"
            if found := _shown(Journal(path, SystemClock()), redactor(app)):
                return found
        if found := _get(wanted, ledger):
            return found
    raise NotFoundError(
        f"There is no deployment {wanted!r}.", remedy="`sheetanchor history APP` lists them."
    )


def log(session: Session, shown: View) -> str:
    """Return a deployment's log; empty when there is none."""
    path = State.of(session.config, session.app(shown["app"])).log(shown["id"])
    return path.read_text(errors="replace") if path.exists() else ""


def _shown(journal: Journal, redact: Redactor) -> View | None:
    """Return a journal's deployment; None if not even its first record was written whole."""
    asked = journal.deployment()
    if asked is None:
        return None
    found: View = cleaned(view(asked, journal.records()), redact)
    return found


def _of_ledger(app: App, ledger: Ledger | None, limit: int) -> list[View]:
    try:
        return ledger.history(app.name, limit)[0] if ledger else []
    except UnavailableError:
        return []


def _get(wanted: str, ledger: Ledger | None) -> View | None:
    try:
        return ledger.get(wanted) if ledger else None
    except UnavailableError:
        return None
