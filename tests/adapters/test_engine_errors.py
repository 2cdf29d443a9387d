"""What Docker says is told as what it is."""

from types import SimpleNamespace

import pytest
from docker.errors import APIError, DockerException

from worker.adapters.engine_errors import translated
from worker.errors import FullError, StepError, UnavailableError

WROTE = "write /var/lib/docker/image/repositories.json: no space left on device"


def said(status, words):
    return APIError("…", SimpleNamespace(status_code=status, reason="", url=""), words)


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (said(500, WROTE), FullError),
        (said(500, "the daemon is confused"), UnavailableError),
        (said(409, "the name is taken"), StepError),
        (DockerException("connection refused"), UnavailableError),
    ],
)
def test_docker_whose_disk_is_full_is_told_from_one_that_refuses_or_is_away(error, ours):
    with pytest.raises(ours) as told, translated("tag an image"):
        raise error

    assert type(told.value) is ours
    assert ("Free some space" in told.value.remedy) is (ours is FullError)
