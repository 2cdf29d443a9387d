"""Exports the revision beside the checkout and renders its Compose model, once.

The checkout does not move: running containers may mount files from it. The
model is rendered with the work folder as project directory (with the checkout
as one, `env_file:`, `include:` and `extends:` would be read from the old tree:
measured), then its paths are pointed to the checkout.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from worker import durable
from worker.adapters import compose, disk
from worker.adapters.compose_question import Model
from worker.release import image_names
from worker.steps import (
    addresses,
    build_files,
    context,
    covered,
    drift,
    env_files,
    guards,
    layers,
    lend,
    reads,
    tracked,
)
from worker.steps.attempt import Attempt, Facts

BUILD_MODEL = "build.json"


def run(attempt: Attempt) -> Facts:
    """Return what the build and the way back need: image names and their ids now."""
    revision, project = attempt.fact("preflight", "revision"), attempt.fact("preflight", "project")
    tracked.judge(attempt, revision)
    _export(attempt, revision)
    tracked.judge_export(attempt, revision)
    rendered, read = _render(attempt, project)
    stay = env_files.staying(attempt, rendered)
    model = pointed(rendered, attempt.work, attempt.app.checkout)
    guards.model(attempt, model)
    after = guards.of_revision(attempt, model)
    layers.judge(attempt, attempt.before, after)
    addresses.judge_model(attempt, model)
    drift.judge(attempt, revision, model, read, attempt.old_release())
    guards.nothing_is_lost(attempt, revision, model)
    over = [one for one, _ in covered.over_uploads(attempt.app, model, after)]
    covered.judge(attempt, [*after, *(one for one in over if one.kind == "memory")], revision)
    folder = attempt.state.releases / attempt.id
    folder.mkdir(exist_ok=True, mode=0o700)
    durable.write(folder / BUILD_MODEL, json.dumps(rendered).encode())
    durable.write(folder / "model.json", json.dumps(model).encode())
    read.store(folder)
    names = sorted(set(image_names(model, project).values()))
    head = attempt.fact("preflight", "head")["revision"]
    changed = attempt.checkout.changed(head, revision)
    return {
        "files_changed": len(changed),
        "changed": sorted(changed),
        "stay": stay,
        **_own_commits(attempt, head, revision),
        "new_warnings": context.warnings(attempt, rendered),
        "tags": {name: attempt.engine.image_id(name) for name in names},
    }


def _own_commits(attempt: Attempt, head: str, revision: str) -> Facts:
    """Return the commits that were made in the checkout: they leave the branch, and are kept."""
    ran = (attempt.decisions.read()["running"] or {}).get("revision")
    known = [one for one in (revision, ran) if one]
    checkout, branch = attempt.checkout, f"refs/heads/{attempt.app.branch}"
    aside = checkout.own_commits(branch, [*known, head]) if checkout.ref(branch) else []
    return {"own_commits": checkout.own_commits(head, known), "branch_commits": aside}


def _export(attempt: Attempt, revision: str) -> None:
    work, owner = attempt.work, attempt.checkout.owner()
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(mode=0o755)
    work.chmod(0o755)  # whatever the umask: Git's user and the build read it
    disk.chown(work, owner.uid, owner.gid)
    attempt.checkout.export(revision, work)
    build_files.put(attempt)


def _render(attempt: Attempt, project: str) -> tuple[Model, reads.Reads]:
    """Return the model, and what was read; what Git does not track is there for this only."""
    app, work = attempt.app, attempt.work
    with lend.lent_to(attempt):
        model = compose.render(work, app.compose_files, app.env_path, project, mark=attempt.id)
        return model, reads.of_folder(app, work)


def pointed(value: Any, work: Path, checkout: Path) -> Any:
    """Return the model with every path at or below `work` at or below `checkout`.

    A path of the app's own folder of the state beside `work` was written `../…` or
    `../../…`: it lies beside the checkout.
    """
    if isinstance(value, dict):
        return {key: pointed(inner, work, checkout) for key, inner in value.items()}
    if isinstance(value, list):
        return [pointed(inner, work, checkout) for inner in value]
    if isinstance(value, str) and (value == str(work) or value.startswith(f"{work}/")):
        return str(checkout) + value[len(str(work)) :]
    if isinstance(value, str) and f"{value}/".startswith(f"{work.parents[1]}/"):
        return os.path.normpath(checkout / os.path.relpath(value, work))
    return value
