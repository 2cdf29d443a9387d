"""The images of the release that runs and of the one that comes: held, and looked for.

Docker forgets an image that no container uses as soon as somebody prunes. The danger is
to notice once the old containers are gone: so both releases' images get tags of our own,
and are looked for right before the stop.
"""

from worker.adapters import compose
from worker.errors import StepError, UnavailableError
from worker.release import Release, pin_name
from worker.steps.attempt import Attempt


def pin(attempt: Attempt, release: Release) -> None:
    """Hold a release's images by tags of our own. Raises UnavailableError when one is gone."""
    judge(attempt, release)
    for service, (_, image) in release.images.items():
        attempt.engine.tag(image, pin_name(attempt.app.name, release.id, service))


def judge(attempt: Attempt, release: Release) -> None:
    """Raise UnavailableError when somebody removed an image of a release. Nothing is stopped."""
    if not (gone := missing(attempt, release)):
        return
    if release.id == attempt.id:
        raise UnavailableError(
            f"{gone}, which was built just now, was removed from Docker.",
            remedy="It is built anew at the next try. Let nobody prune images meanwhile.",
        )
    raise UnavailableError(
        f"{gone}, which runs now, was removed from Docker, so there would be no way back to it.",
        remedy=f"{_again(attempt, release)}, then deploy.",
    )


def refuse_to_switch(attempt: Attempt, release: Release) -> None:
    """Raise StepError, with the command that makes it anew, when an image is gone by now."""
    if gone := missing(attempt, release):
        raise StepError(
            f"{gone} was removed from Docker.", remedy=f"{_again(attempt, release)} from its files."
        )


def missing(attempt: Attempt, release: Release) -> str | None:
    """Return the first image of a release that Docker has not, as a sentence's beginning."""
    for service, (_, image) in release.images.items():
        if attempt.engine.image_id(image) is None:
            return f"Image {image[:19]} of service {service}"
    return None


def _again(attempt: Attempt, release: Release) -> str:
    command = compose.by_hand(attempt.app, release.project, "--build")
    names = ", ".join(sorted({name for name, _ in release.images.values()}))
    return f"Run `{command}`, which makes {names} anew"
