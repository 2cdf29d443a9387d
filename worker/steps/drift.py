"""Refuses a revision that may do more to the host than what runs, until it is approved.

The person who sets an app up accepts what it may do then: with nothing that
ever ran, and for what was started by hand, nothing is asked. A release that
ran before had its privileges accepted, so a roll-back to it asks only for what
today's env file adds to them.
"""

import os
from pathlib import Path
from typing import Any

from worker.errors import GuardError
from worker.release import Release
from worker.steps import privileges, reads
from worker.steps.attempt import Attempt
from worker.steps.privileges import Model, Places
from worker.steps.reads import Reads

LINKS = 40  # symbolic links followed one after another, as the kernel does


def judge(
    attempt: Attempt, revision: str, model: Model, read: Reads, running: Release | None
) -> None:
    """Raise GuardError naming each new privilege that nobody approved for the revision.

    `read` is what Compose read for the model; `running` what runs, if anything does.
    """
    model = read.added_to(model)
    after = _places(attempt, through=attempt.work)
    known = _known(attempt, running)
    if not known:
        for one in [*privileges.new(None, model, after, after), *_sentences(read)]:
            attempt.say(f"accepted, as nothing ran before: {one}")
        return
    before = _places(attempt)
    reads_before = [reads.of_release(one, attempt.app) for one in known]
    pairs = zip(reads_before, known, strict=True)
    first, *others = (its.added_to(one.model()) for its, one in pairs)
    had = {line for one in others for line in privileges.held(one, before)}
    had |= {line for one in reads_before for line in _sentences(one)}
    asked = {*privileges.new(first, model, before, after), *_sentences(read)} - had
    asked = set(map(attempt.redact, asked))  # they are journalled, and shown
    left = sorted(asked - attempt.approvals.of(revision))
    if left:
        shown = {"new_privileges": "; ".join(left)}
        attempt.note({"revision": revision, "privileges": left} | shown)  # what is approved
        raise GuardError(
            f"Revision {revision[:12]} asks for new privileges: {'; '.join(left)}.",
            remedy=f"Take them out and push, or, if they are meant, run"
            f" `sheetanchor approve {attempt.id}`.",
        )


def _sentences(read: Reads) -> list[str]:
    return [f"the Compose files read {path}, which is in no revision" for path in read.files]


def _known(attempt: Attempt, running: Release | None) -> list[Release]:
    """Return the releases whose privileges were accepted; first what runs, or ran last."""
    stored = attempt.state.releases
    complete = sorted(folder.parent.name for folder in stored.glob("*/images.json"))
    if running is None and complete:
        running = Release.load(stored, complete[-1])
    back_to = attempt.deployment.options.get("to") or _previous(attempt)
    rollback = attempt.deployment.kind == "rollback" and back_to in complete
    return [one for one in (running, Release.load(stored, back_to) if rollback else None) if one]


def _previous(attempt: Attempt) -> Any:
    return (attempt.decisions.read()["running"] or {}).get("previous_release")


def _places(attempt: Attempt, through: Path | None = None) -> Places:
    app = attempt.app
    checkout = Path(os.path.realpath(app.checkout))
    kept = (str(checkout / ".git"), os.path.realpath(app.backup_dir))
    return Places(str(checkout), kept, lambda path: real(Path(path), app.checkout, through))


def real(path: Path, checkout: Path, work: Path | None) -> str:
    """Return where a path will lead once the work folder's files are in the checkout.

    A link of either tree may lead to one of the other; Docker follows them all.
    """
    for _ in range(LINKS):
        before = path
        if work and path.is_relative_to(checkout):
            path = Path(os.path.realpath(work / path.relative_to(checkout)))
            real_work = Path(os.path.realpath(work))
            if path.is_relative_to(real_work):
                path = checkout / path.relative_to(real_work)
        path = Path(os.path.realpath(path))
        if path == before:
            break
    return str(path)
