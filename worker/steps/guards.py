"""What a revision's model must not do to the app's data; each refusal names the thing.

Judged before anything is stopped: on the rendered Compose model, and once more
when the images are built, since an image may declare volumes too. What a
revision's files must not do is judged by `worker.steps.tracked`, and what is
neither backed up nor restored by `worker.steps.covered`.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from worker.adapters.containers import Mounted, Volume
from worker.errors import GuardError
from worker.steps import covered, drift, mounts, ownership
from worker.steps.attempt import Attempt
from worker.steps.mounts import Model, Mount

Declared = Mapping[str, Sequence[str]]  # service -> where its image declares volumes


def model(attempt: Attempt, new: Model) -> None:
    """Refuse a model that runs programs of the host, or shows the app other data."""
    for name, service in (new.get("services") or {}).items():
        if "provider" in service:
            raise GuardError(
                f"Service {name} has a `provider`: Compose would run a program of the host.",
                remedy="Remove it.",
            )
    _data_is_mounted(attempt, of_revision(attempt, new))
    _volumes_stay_as_made(attempt, new)


def of_revision(attempt: Attempt, new: Model) -> list[Mount]:
    """Return the mounts of a model, of which the tree will be in the checkout."""

    def real(path: str) -> str:
        return drift.real(Path(path), attempt.app.checkout, attempt.work)

    def lent(container: str) -> Sequence[Mounted]:
        found = attempt.engine.mounts(container)
        if found is None:
            raise GuardError(
                f"A service takes the volumes of the container {container}, which is not there.",
                remedy="Make that container first, or take the volumes of a service.",
            )
        return found

    return mounts.of_model(new, real, attempt.engine.volume, lent)


def of_present(attempt: Attempt) -> list[Mount]:
    """Return the mounts of the containers that preflight noted, and of those that are gone.

    A container that somebody removed leaves its data behind. Where it was is known of
    the release that was deployed last; but for anonymous volumes, which nobody finds again.
    """
    there = mounts.of_containers(attempt.before, attempt.engine.volume)
    last = ownership.running_release(attempt.state)
    if last is None:
        return there
    services = {one.service for one in attempt.before}
    theirs = mounts.as_it_stands(last.model(), attempt.engine)
    gone = (one for one in theirs if one.service not in services and one.kind != "anonymous")
    return [*there, *(one for one in gone if _is_kept(attempt, one))]


def _is_kept(attempt: Attempt, mount: Mount) -> bool:
    if mount.kind == "bind":
        return os.path.lexists(mount.source)
    return attempt.engine.volume(mount.source) is not None


def _data_is_mounted(attempt: Attempt, after: Sequence[Mount]) -> None:
    """Refuse when no service mounts an uploads folder: the backup would save the wrong one."""
    before = of_present(attempt)
    for path in attempt.app.upload_paths:
        folder = os.path.realpath(path)
        if any(_shows(one, folder) for one in after):
            continue
        instead = [f"; {_instead(one, after)}" for one in before if _shows(one, folder)]
        raise GuardError(
            f"No service of the revision mounts the uploads folder {path}{''.join(instead)}.",
            remedy="Keep the mount in the Compose file, or mend data.uploads in sheetanchor.toml.",
        )


def _shows(mount: Mount, folder: str) -> bool:
    """Whether a folder, or a part of it, is what is mounted."""
    inside = mounts.is_below(mount.source, folder) or mounts.is_below(folder, mount.source)
    return mount.kind == "bind" and inside


def _instead(old: Mount, after: Iterable[Mount]) -> str:
    now = next((one.what for one in after if one.place == old.place), "nothing")
    return f"service {old.service} has it at {old.target}, and in the revision {now}"


def _volumes_stay_as_made(attempt: Attempt, new: Model) -> None:
    """Refuse other options for a volume that is there: Compose leaves it as it was made.

    It asks a person; where nobody answers it goes on as if nothing had been (measured).
    """
    for key, defined in (new.get("volumes") or {}).items():
        name, stated = mounts.named_volume(new, key)
        made = None if (defined or {}).get("external") else attempt.engine.volume(name)
        if made and made != stated:
            raise GuardError(
                f"The volume {name} was made with {_made(made)}; the revision's {_made(stated)}"
                " would change nothing.",
                remedy=f"Give the volume {key} in the Compose file what it was made with, or"
                " another `name`, once its data is moved.",
            )


def _made(volume: Volume) -> str:
    options = ", ".join(f"{name}={value}" for name, value in sorted(volume.options.items()))
    return f"driver {volume.driver}, {f'options {options}' if options else 'no options'}"


def nothing_is_lost(
    attempt: Attempt, revision: str, new: Model, declared: Declared | None = None
) -> None:
    """Refuse to take data out of the app's sight, unless a person approved it.

    It stays on disk, but the app would start without it. Without `declared`, what
    only an image can bring is left for later.
    """
    after = of_revision(attempt, new)
    after += mounts.of_images(declared or {}, new)
    before, services = of_present(attempt), set(new.get("services") or {})
    head = attempt.fact("preflight", "head")["revision"]
    lost = [
        sentence
        for old, sentence in lost_mounts(before, after, services, images_known=declared is not None)
        if mounts.can_hold_data(old) and not covered.keeps(attempt, head, old.source)
    ]
    lost += _hidden(attempt, new, after)
    left = sorted(set(map(attempt.redact, lost)) - attempt.approvals.of(revision))
    if left:
        shown = {"lost_data": "; ".join(left)}
        attempt.note({"revision": revision, "privileges": left} | shown)  # what is approved
        raise GuardError(
            f"Revision {revision[:12]} would start without data that is mounted now:"
            f" {'; '.join(left)}.",
            remedy="Keep these mounts in the Compose file and push; or, if the app needs that data"
            f" no more (it stays on disk), run `sheetanchor approve {attempt.id}`.",
        )


def _hidden(attempt: Attempt, new: Model, after: Sequence[Mount]) -> Iterator[str]:
    """Yield a sentence for each part of the uploads with files that something new lies over."""
    last = ownership.running_release(attempt.state)
    model = last.model() if last else {}
    before = mounts.as_it_stands(model, attempt.engine)
    known = {over.place for over, _ in covered.over_uploads(attempt.app, model, before)}
    for over, part in covered.over_uploads(attempt.app, new, after):
        if over.place not in known and _holds_something(Path(part)):
            yield f"service {over.service} has {part} at {over.target}, then {over.what} over it"


def _holds_something(folder: Path) -> bool:
    return folder.is_file() or (folder.is_dir() and any(folder.iterdir()))


def lost_mounts(
    before: Iterable[Mount],
    after: Sequence[Mount],
    services: Collection[str],
    *,
    images_known: bool,
) -> Iterator[tuple[Mount, str]]:
    """Yield, with a sentence, each mount whose data nobody would see any more. Pure.

    In a service that stays, each place must keep its source; of one that goes, or has
    another name now, it is enough that somebody mounts the same for writing.
    """
    for old in before:
        now = next((one for one in after if one.place == old.place), None)
        if old.same_source(now):
            continue
        if old.service not in services:
            if any(old.same_source(one) and one.writable for one in after):
                continue
            yield old, f"service {old.service} goes, and with it {old.what} at {old.target}"
        elif images_known or now or old.kind != "anonymous":
            instead = f"mounts {now.what} there" if now else "mounts nothing there"
            yield old, f"service {old.service} has {old.what} at {old.target}, then {instead}"
