"""The way back from a build: image names point where they did. Nothing else moved."""

from worker.steps.attempt import Attempt, Facts


def run(attempt: Attempt) -> Facts:
    """Give every image name its id of before the build, or take it away again."""
    before = attempt.fact("pull", "tags", {})
    for name, image in before.items():
        now = attempt.engine.image_id(name)
        if image and now != image:
            attempt.engine.tag(image, name)
        elif image is None and now:
            attempt.engine.untag(name)
    return {"tags": len(before)}
