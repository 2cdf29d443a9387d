"""What Docker and the way to it say, as errors of ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from worker.errors import FullError, StepError, UnavailableError

FULL = "no space left on device"  # the C library's words, as Go has them


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the SDK's and the transport's errors into ours."""
    try:
        yield
    except docker.errors.APIError as error:
        if error.response is not None and error.response.status_code < 500:  # noqa: PLR2004
            raise StepError(
                f"Docker refused to {what}: {error.explanation}.", remedy="See Docker's words."
            ) from error
        if FULL in str(error.explanation):
            raise FullError(
                f"Docker's disk is full; it failed to {what}: {error.explanation}.",
                remedy="Free some space on it (docker system df tells what takes it).",
            ) from error
        raise UnavailableError(
            f"Docker failed to {what}: {error.explanation}.", remedy="Look at dockerd's log."
        ) from error
    except (DockerException, RequestException, OSError) as error:
        raise UnavailableError(
            f"Docker did not answer when asked to {what}.",
            remedy="Start it: systemctl start docker.",
        ) from error
