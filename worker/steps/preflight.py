"""Looks before anything is touched: what to bring, what is there, is it allowed.

Changes nothing but the repository's remote refs. What it notes is all that the
way back has of the present, so it is noted before the first thing moves.
"""

import re

from worker import decisions as rules
from worker.adapters import compose
from worker.adapters.containers import Container
from worker.adapters.git import Head
from worker.backups import adopt, cleaners, seen
from worker.backups.scratch import Scratch
from worker.backups.verify import verify
from worker.clock import rfc3339
from worker.deployment import Status
from worker.errors import CommandError, GuardError, SkippedError, UsageError
from worker.release import Release
from worker.steps import (
    addresses,
    covered,
    data,
    emptied,
    gate,
    git_folder,
    health,
    left_behind,
    neighbours,
    ownership,
    present,
    quiet,
    restored,
    space,
)
from worker.steps.attempt import Attempt, Facts

LOOK_AGAIN = 2.0  # seconds after which a crash loop shows


def run(attempt: Attempt) -> Facts:
    """Note the present and fix one revision. Raises GuardError, Skipped- or HeldError."""
    app = attempt.app
    attempt.engine.version()
    _checkout_can_be_moved(attempt)
    branch_head, revision = _what_is_asked_for(attempt)
    author, message = attempt.checkout.describe(revision)
    project = _project(attempt)
    there = attempt.engine.containers(project)
    containers = [one for one in there if not (one.oneoff or one.aside)]
    _nobody_else(attempt, project, containers)
    _writes_where_backups_look(attempt, project, containers)
    _databases_can_be_restored(attempt, containers)
    room = space.judge(attempt, containers, revision)
    head = attempt.checkout.head()
    old = present.release(attempt, project, containers, head)
    _refuse_what_runs(attempt, old, containers, head)
    restore_from = _restore_from(attempt)
    restored.judge(attempt, restore_from, old)
    covered.judge_present(attempt, containers, head.revision)
    emptied.judge(attempt, head.revision)
    return {
        "revision": revision,
        "previous_revision": old.revision if old else None,
        "message": message,
        "author": author,
        "branch_head": branch_head,
        "project": project,
        "databases_at": attempt.databases_at,
        "head": {"revision": head.revision, "ref": head.ref},
        "containers": [one.as_dict() for one in containers],
        "old_release": old.id if old else None,
        "unstable": _unstable(attempt, containers),
        "restore_from": restore_from,
        "left_behind": left_behind.found(attempt),
        "space": room,
        "docker": {"root": space.docker_root(attempt)},
        "new_warnings": _about_backups(attempt) + addresses.doubts(attempt, containers),
        "urls_failing": [url.url for url in app.health.urls if health.ask(url)],
    }


def _what_is_asked_for(attempt: Attempt) -> tuple[str, str]:
    """Return the branch's head and the revision, unless it is held, decided or kept out."""
    branch_head = _branch_head(attempt)
    revision = _revision(attempt, branch_head)
    attempt.learn("preflight", {"branch_head": branch_head, "revision": revision})
    rules.judge(attempt.decisions.read(), attempt.deployment, branch_head)
    gate.judge(attempt, branch_head)
    return branch_head, revision


def _nobody_else(attempt: Attempt, project: str, containers: list[Container]) -> None:
    """Refuse while somebody else is at work on the project, or has a claim on it."""
    quiet.nobody_else_at_work(attempt, project)
    neighbours.judge_project(attempt, project, containers)
    neighbours.judge_abandoned(attempt, project)
    if not containers:
        ownership.refuse_second(attempt.app, attempt.state, attempt.engine, project)


def _checkout_can_be_moved(attempt: Attempt) -> None:
    app, checkout = attempt.app, attempt.checkout
    if not checkout.exists():
        attempt.say(f"cloning {app.clone_url} into {app.checkout}")
        checkout.clone()
    if attempt.deployment.kind != "restore":  # that one moves no file of Git's
        checkout.locks.wait(attempt.clock)
        git_folder.judge(attempt)


def _branch_head(attempt: Attempt) -> str:
    """Return the remote branch's head; for what needs no remote, the last one known."""
    deployment = attempt.deployment
    if deployment.kind == "deploy" and deployment.options.get("pull", True):
        return attempt.checkout.fetch()
    known = f"refs/sheetanchor/remote/{attempt.app.branch}"
    try:
        return attempt.checkout.revision(known)
    except CommandError:
        return attempt.checkout.head().revision


def _revision(attempt: Attempt, branch_head: str) -> str:
    deployment = attempt.deployment
    if deployment.kind == "rollback":
        return rollback_target(attempt).revision
    if deployment.kind == "restore" or not deployment.options.get("pull", True):
        return attempt.checkout.head().revision
    wanted = deployment.wanted
    if wanted in (None, attempt.app.branch):  # a tag may have the branch's name, too
        return branch_head
    try:
        return attempt.checkout.revision(wanted)
    except CommandError as error:
        raise UsageError(
            f"Revision {wanted} is not in the branch {attempt.app.branch} of the remote.",
            remedy="Push it, or name another.",
        ) from error


def rollback_target(attempt: Attempt) -> Release:
    """Return the release to roll back to: the one named, or what ran before."""
    wanted = attempt.deployment.options.get("to")
    if wanted is None:
        running = attempt.decisions.read()["running"] or {}
        wanted = running.get("previous_release")
    if wanted is None:
        raise UsageError(
            "There is no earlier release to roll back to.",
            remedy="Name one with --to; `sheetanchor history` lists them.",
        )
    return Release.load(attempt.state.releases, wanted)


def _refuse_what_runs(
    attempt: Attempt, old: Release | None, containers: list[Container], head: Head
) -> None:
    """Skip an automatic deployment of what runs, and decide its head.

    The record alone would not do: a person may have run another image since, or
    checked out other files that they mount.
    """
    decisions, revision = attempt.decisions.read(), attempt.fact("preflight", "revision")
    if not rules.runs(decisions, attempt.deployment, revision):
        return
    if old is None or old.id != decisions["running"]["release"]:
        return
    if not present.shows_other_files(attempt, containers, head, revision):
        reason = f"Revision {revision[:12]} runs already."
        now = rfc3339(attempt.clock.now())
        attempt.decisions.decide(revision, str(Status.SKIPPED), attempt.id, now, reason)
        raise SkippedError(reason, remedy="Nothing is to do.")


def _unstable(attempt: Attempt, containers: list[Container]) -> list[str]:
    """Return the containers that crash again and again already, seen twice."""
    suspects = {one.id: one.restarts for one in containers if one.restarts}
    if not suspects:
        return []
    attempt.clock.sleep(LOOK_AGAIN)
    now = attempt.engine.containers(containers[0].project)
    return [one.name for one in now if one.restarts > suspects.get(one.id, one.restarts)]


def _restore_from(attempt: Attempt) -> str | None:
    """Return the backup that a restore puts back: the one named, or the newest verified."""
    if attempt.deployment.kind != "restore":
        return None
    wanted = attempt.deployment.options.get("backup")
    found = adopt.chosen(data.source(attempt), wanted, attempt.say)
    verify(found.path)  # before anything is stopped for it
    return found.id


def _project(attempt: Attempt) -> str:
    """Return the project's name: known already, or else Compose's."""
    app = attempt.app
    if known := ownership.project_of(app, attempt.state, attempt.engine):
        return known
    try:
        model = compose.render(app.checkout, app.compose_files, app.env_path, None)
        return str(model["name"])
    except (CommandError, GuardError):  # the files of an older revision need not be whole
        return re.sub(r"[^a-z0-9_-]", "", app.checkout.name.lower()).lstrip("_-")


def _writes_where_backups_look(attempt: Attempt, project: str, containers: list[Container]) -> None:
    if attempt.deployment.options.get("only") not in ("env", "uploads"):  # they touch no database
        addresses.judge(attempt.app, attempt.engine, project, containers, attempt.mongodb_uri)


def _databases_can_be_restored(attempt: Attempt, containers: list[Container]) -> None:
    if (mongo := attempt.mongo) is None or (uri := attempt.mongodb_uri) is None:
        return  # in this order: of a lost env file no address is asked for
    addresses.judge_place(attempt.app, containers, uri)
    mongo.ping()
    mongo.refuse_unsupported()
    mongo.check_restorable()
    neighbours.judge_database(attempt)


def _about_backups(attempt: Attempt) -> list[str]:
    """Return who else may remove backups, which have gone, and whether a drill may be made."""
    app = attempt.app
    gone = seen.vanished(attempt.state.seen_backups, app)
    told = f"vanished from {app.backup_dir}, and sheetanchor did not remove"
    lost = [f"Backups {told} them: {', '.join(gone)}."] if gone else []
    drill = Scratch(data.source(attempt)).forbidden() if app.backup.drill else []
    return [*cleaners.found(app), *lost, *drill]
