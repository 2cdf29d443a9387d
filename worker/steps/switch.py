"""From one release's containers to another's; forward and on the way back.

Forward, the checkout moves to the revision first: tracked local changes are
kept under `refs/sheetanchor/<deployment>`, and nothing below a data path is
touched. On the way back the step `checkout` has moved it already.

`up` may end well although a container does not run: the daemon can still be
busy with what a killed Compose asked for (measured). So its result is looked
at, and it is called again, up to three times.
"""

from collections.abc import Iterator

from worker.adapters.containers import Container, patience
from worker.adapters.git import Head
from worker.clock import rfc3339
from worker.errors import StepError
from worker.release import Release, given_files, with_other_contents
from worker.steps import as_before, before, leaving, pinned, quiet
from worker.steps.attempt import Attempt, Facts
from worker.steps.mounts import sources

NAMED = 5  # files in a sentence
TRIES = 3


def run(attempt: Attempt) -> Facts:
    """Bring the phase's release up, with its images and restart policies."""
    target = attempt.target()
    if target is None:
        return _remove_first(attempt)
    warnings = []
    if not attempt.going_back and attempt.deployment.kind != "restore":
        warnings = move_forward(attempt)
    pinned.refuse_to_switch(attempt, target)
    for name, image in target.images.values():
        if attempt.engine.image_id(name) != image:
            attempt.engine.tag(image, name)
    if attempt.going_back and attempt.inherited and not attempt.settled:
        quiet.settle(attempt)
    leaving.make_room(attempt, target)
    attempt.note({"up": True})
    _bring_up(attempt, target)
    as_before.give_policies_back(attempt, target)
    if attempt.going_back:
        as_before.pause_again(attempt)
    else:
        services = target.model().get("services") or {}
        warnings = [*warnings, *before.given_up(attempt.before, attempt.containers, services)]
    return {
        "release": target.id,
        "serving_at": rfc3339(attempt.clock.now()),
        "new_warnings": warnings,
        "health_budget": patience(attempt.containers),
    }


def _bring_up(attempt: Attempt, target: Release) -> None:
    for left in range(TRIES - 1, -1, -1):
        _up(attempt, target)
        wrong = _wrong(attempt, target)
        if not wrong:
            return
        if not left:
            raise _not_there(wrong)
        attempt.say(f"not there yet: {'; '.join(wrong)}")
        quiet.settle(attempt)


def confirm(attempt: Attempt, target: Release) -> None:
    """Raise StepError unless the release's containers are what runs; mend their policies."""
    there = {one.service for one in attempt.containers if one.running}
    wrong = _wrong(attempt, target)
    wrong += [
        f"service {one.service} does not run"
        for one in attempt.before
        if one.running and one.service in target.images and one.service not in there
    ]
    if wrong:
        raise _not_there(wrong)
    as_before.give_policies_back(attempt, target)


def _not_there(wrong: list[str]) -> StepError:
    return StepError(
        f"The containers are not what they should be: {'; '.join(wrong)}.",
        remedy="Look at `docker ps -a` and the containers' logs.",
    )


def move_forward(attempt: Attempt) -> list[str]:
    """Move the checkout to the new revision; keep what a person changed, and say so."""
    revision, without = attempt.fact("preflight", "revision"), attempt.left_alone
    kept = attempt.checkout.local_changes(attempt.id, without=without)
    attempt.checkout.keep_branch(attempt.id)
    head = Head(revision, f"refs/heads/{attempt.app.branch}")
    attempt.checkout.move(kept, revision, head, without=without)
    attempt.checkout.add_missing(revision, kept, attempt.app.data.uploads)
    return list(_set_aside(attempt, kept))


def _set_aside(attempt: Attempt, kept: str) -> Iterator[str]:
    """Yield a sentence for each kind of a person's work that is kept under a ref now."""
    fact, ref = attempt.fact, f"refs/sheetanchor/{attempt.id}"
    changed = attempt.checkout.changed(fact("preflight", "head")["revision"], kept)
    for what, names, where in (
        ("Local commits", fact("pull", "own_commits", ()), ref),
        ("Commits of the branch", fact("pull", "branch_commits", ()), f"{ref}-branch"),
        ("Local changes to", sorted(changed), ref),
    ):
        if names:
            listed = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
            yield f"{what} {listed} were set aside as {where}."


def _remove_first(attempt: Attempt) -> Facts:
    """The way back of an app that never ran: its containers go, by name; data stays."""
    for one in attempt.containers:
        attempt.engine.remove(one)
    return {"release": "none"}


def _up(attempt: Attempt, target: Release) -> None:
    for one in attempt.containers:
        if one.status == "paused":  # Compose cannot start it
            attempt.engine.unpause(one)
    model, directory, say = target.model_path, attempt.app.checkout, attempt.say
    scale = before.scale(attempt.before, target.images) if attempt.going_back else {}
    if stale := _stale(attempt, target):
        some = {name: scale[name] for name in stale if name in scale}
        attempt.compose.up(
            model, directory, stale, start=False, recreate=True, scale=some, on_line=say
        )  # only made: who starts when is for the whole `up` to decide
    if attempt.going_back:
        as_before.up(attempt, target, scale)
    else:
        attempt.compose.up(model, directory, on_line=say)


def _stale(attempt: Attempt, target: Release) -> list[str]:
    """Return running services that hold on to what the revision replaces.

    A single-file bind keeps the old inode, and a config or secret from a variable
    or from the Compose file is only written before a start. Compose sees neither
    change (measured).
    """
    running = {one.service for one in attempt.containers if one.running}
    model, old = target.model(), attempt.old_release()
    others = with_other_contents(old.model(), model) if old else set()
    changed = {str(attempt.app.checkout / path) for path in attempt.fact("pull", "changed", ())}
    if not attempt.checkout.kept(attempt.id):
        changed = set()  # the checkout never moved
    mounted = [(service, source) for (service, _), source in sources(model).items()]
    mounted += given_files(model)
    return sorted(running & (others | {one for one, source in mounted if source in changed}))


def _wrong(attempt: Attempt, target: Release) -> list[str]:
    """Return what keeps the containers from being the release's, as sentences."""
    now = [one for one in attempt.containers if one.service in target.images]
    twins = before.twins(attempt.before, now) if attempt.going_back else {}
    resting = as_before.resting(attempt, target) if attempt.going_back else set()
    found = as_before.miscounted(attempt, target, now) if attempt.going_back else []
    for one in now:
        twin = twins.get(one.id)
        if one.image != target.images[one.service][1]:
            found.append(f"{one.name} runs another image")
        elif twin and twin.id in resting:
            continue
        elif not _started(one, twin is not None and twin.running):
            found.append(f"{one.name} is {one.status}")
    return found


def _started(one: Container, was_awake: bool) -> bool:
    """Whether a container was started; one that has ended since is for `health` to judge.

    On the way back, one that ran before has to run again.
    """
    return one.running or (one.status == "exited" and not was_awake)
