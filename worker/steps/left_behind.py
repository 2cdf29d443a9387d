"""The checkout that a way back did not get to: who restores its data puts it back, too.

The danger: code and data of two releases. The old version would run on its own data while
the checkout shows the bad revision, and whatever mounts files of it would serve those. So
the way back of such a restore (step `checkout`) shows the bad revision again.
"""

from worker.adapters.git import Head
from worker.journal import Journal
from worker.steps.attempt import Attempt, Facts


def found(attempt: Attempt) -> Facts | None:
    """Return what puts the checkout back, or None when that is not owed.

    It is owed by the deployment that left the app `inconsistent`, or by the one that a restore
    could not mend, if its revision is what is checked out still: else a person moved on.
    """
    hold, checkout = attempt.decisions.read()["hold"] or {}, attempt.checkout
    deployment = hold.get("deployment")
    if attempt.deployment.kind != "restore" or hold.get("kind") != "inconsistent":
        return None
    owed = _owed_by(attempt, deployment) if deployment else None
    if owed is None or not checkout.kept(owed["deployment"]):
        return None  # it never moved the checkout
    return owed if checkout.head().revision == owed["revision"] else None


def _owed_by(attempt: Attempt, deployment: str) -> Facts | None:
    records = Journal(attempt.state.journals / f"{deployment}.jsonl", attempt.clock).records()
    facts = {one["step"]: one["facts"] for one in records if one["event"] == "done"}
    noted = facts.get("preflight", {})
    if not noted.get("head") or noted.get("left_behind"):
        owed: Facts | None = noted.get("left_behind")
        return owed
    stay = facts.get("pull", {}).get("stay", [])
    kept = {key: noted[key] for key in ("revision", "head")}
    return {"deployment": deployment, "stay": stay, **kept}


def put_back(attempt: Attempt) -> list[str]:
    """Move the checkout to what was noted before that deployment; return what a person is told.

    What was edited since is kept, as a deployment does, and put back by the way back.
    """
    left = attempt.fact("preflight", "left_behind")
    if not left:
        return []
    head, checkout, alone = Head(**left["head"]), attempt.checkout, attempt.left_alone
    if not (kept := moved_to(attempt)):
        return []
    attempt.say(f"putting the checkout back to {head.revision[:12]}")
    mine = checkout.local_changes(attempt.id, without=alone)
    checkout.keep_branch(attempt.id)
    checkout.move(mine, kept, head, without=alone)
    checkout.put_branch_back(left["deployment"])
    edited = ", ".join(checkout.changes_of(mine))
    said = f"Local changes to {edited} were set aside as refs/sheetanchor/{attempt.id}."
    return [said] if edited else []


def moved_to(attempt: Attempt) -> str | None:
    """Return the commit that `put_back` makes of the checkout's files, if it does."""
    left = attempt.fact("preflight", "left_behind")
    return attempt.checkout.kept(left["deployment"]) if left else None
