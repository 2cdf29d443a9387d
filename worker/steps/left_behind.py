"""The checkout that a way back did not get to: who restores its data puts it back, too.

The danger: code and data of two releases. The old version would run on its own data while
the checkout shows the bad revision, and whatever mounts files of it would serve those.
"""

from worker.adapters.git import Head
from worker.journal import Journal
from worker.steps.attempt import Attempt, Facts


def found(attempt: Attempt) -> Facts | None:
    """Return what puts the checkout back, or None when that is not owed.

    It is owed by the deployment that left the app `inconsistent`, if its revision is what
    is checked out still: else a person moved on.
    """
    hold, checkout = attempt.decisions.read()["hold"] or {}, attempt.checkout
    deployment = hold.get("deployment")
    if attempt.deployment.kind != "restore" or hold.get("kind") != "inconsistent":
        return None
    if not deployment or not checkout.kept(deployment):
        return None  # it never moved the checkout
    records = Journal(attempt.state.journals / f"{deployment}.jsonl", attempt.clock).records()
    facts = {one["step"]: one["facts"] for one in records if one["event"] == "done"}
    noted = facts.get("preflight", {})
    if not noted.get("head") or checkout.head().revision != noted["revision"]:
        return None
    stay = facts.get("pull", {}).get("stay", [])
    kept = {key: noted[key] for key in ("revision", "head")}
    return {"deployment": deployment, "stay": stay, **kept}


def put_back(attempt: Attempt) -> None:
    """Move the checkout to what was noted before that deployment. Can run twice."""
    left = attempt.fact("preflight", "left_behind")
    if not left:
        return
    head, checkout = Head(**left["head"]), attempt.checkout
    if kept := checkout.kept(left["deployment"]):
        attempt.say(f"putting the checkout back to {head.revision[:12]}")
        alone = [*attempt.left_alone, *left["stay"]]
        checkout.move(left["revision"], kept, head, without=alone)
        checkout.put_branch_back(left["deployment"])
