"""Whether a move of the branch is worth a deployment: `[apps.X.gate]`.

Judged against what *runs*, never against what one delivery brought: code that
was pushed and did not run yet must not be left out because a change of the
documentation came after it. GitHub's list of a push's files is cut at 2,048
commits; Git has them all.
"""

from worker.ci import Verdict
from worker.clock import rfc3339
from worker.deployment import Status
from worker.errors import SkippedError
from worker.patience import Patience
from worker.steps.attempt import Attempt


def judge(attempt: Attempt, head: str) -> None:
    """Raise SkippedError, and decide the head, when the gate keeps it from being deployed.

    A person's deployment is never kept out, nor is a first one.
    """
    deployment = attempt.deployment
    person = deployment.by_person or deployment.options.get("force")
    if not person and deployment.kind == "deploy":
        _refuse_unproven(attempt, head)
    running = (attempt.decisions.read()["running"] or {}).get("revision")
    if (
        person
        or deployment.kind != "deploy"
        or running in (None, head)  # whether it still runs is asked of the containers
        or not attempt.checkout.has_ref(running)
    ):
        return
    reason = _by_words(attempt, running, head) or _by_paths(attempt, running, head)
    if reason is None:
        return
    now = rfc3339(attempt.clock.now())
    attempt.decisions.decide(head, str(Status.SKIPPED), attempt.id, now, reason)
    raise SkippedError(
        reason,
        remedy=f"Run `sheetanchor deploy {attempt.app.name}` to have it all the same.",
    )


def _refuse_unproven(attempt: Attempt, head: str) -> None:
    """Raise SkippedError while CI did not pass the head, to which the branch may have moved.

    Nothing is decided about it: its own push, or a look at the remote, waits for its CI.
    """
    verdict, _ = Patience(attempt.app, attempt.state).of(head)
    if verdict is not Verdict.PASSED:
        raise SkippedError(
            f"The branch is at {head[:12]}, of which CI has not said that it is good.",
            remedy="It is deployed once CI has passed it.",
        )


def _by_words(attempt: Attempt, running: str, head: str) -> str | None:
    """Return why words of the commits keep them out: only if each of them has one."""
    words = attempt.app.gate.skip_words
    messages = attempt.checkout.messages(running, head) if words else []
    if not messages or not all(any(word in message for word in words) for message in messages):
        return None
    found = " or ".join(word for word in words if any(word in message for message in messages))
    return f"Each of the {len(messages)} commits since {running[:12]} says {found}."


def _by_paths(attempt: Attempt, running: str, head: str) -> str | None:
    """Return why no file that changed keeps them in."""
    paths = attempt.app.gate.paths
    if not paths or attempt.checkout.touches(running, head, paths):
        return None
    return f"Nothing that changed since {running[:12]} matches gate.paths ({', '.join(paths)})."
