"""Docker's own words, as 20.10 with Compose 2.40 said them of a registry on loopback."""

import pytest

from worker.adapters.registry import answering, away
from worker.errors import CommandError, UnavailableError

SOLVE = (
    "failed to solve: rpc error: code = Unknown desc = failed to solve with frontend"
    " dockerfile.v0: failed to create LLB definition: "
)
DAEMON = "Error response from daemon: "
HEAD = 'failed to do request: Head "http://127.0.0.1:1/v2/tiny/manifests/stable": '
AWAY = [
    f"{SOLVE}{HEAD}dial tcp 127.0.0.1:1: connect: connection refused",
    f"{SOLVE}{HEAD}EOF",
    f"{SOLVE}{HEAD}dial tcp: lookup registry.invalid on 10.0.0.1:53: no such host",
    f"{SOLVE}pulling from host 127.0.0.1:1 failed with status code [manifests a]: 503 Service"
    " Unavailable",
    f"{SOLVE}pulling from host x failed with status code [manifests a]: 429 Too Many Requests",
    f'{DAEMON}Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
    f'{DAEMON}Get "http://127.0.0.1:1/v2/": read tcp 127.0.0.1:2->127.0.0.1:1: read: connection'
    " reset by peer",
    f"{DAEMON}received unexpected HTTP status: 503 Service Unavailable",
    f'{DAEMON}error parsing HTTP 429 response body: unexpected end of JSON input: ""',
    f'{DAEMON}Get "https://x/v2/": net/http: TLS handshake timeout',
    "target web: failed to solve: python:3: failed to resolve source metadata for"
    ' docker.io/library/python:3: failed to do request: Head "https://x/v2": dial tcp: i/o timeout',
]
ANSWERED = [
    f"{SOLVE}127.0.0.1:1/tiny:none: not found",
    f"{SOLVE}pulling from host 127.0.0.1:1 failed with status code [manifests none]: 401"
    " Unauthorized",
    f'{DAEMON}error parsing HTTP 404 response body: unexpected end of JSON input: ""',
    f"{DAEMON}manifest for nginx:none not found: manifest unknown: manifest unknown",
    f"{DAEMON}pull access denied for x, repository does not exist or may require 'docker login'",
    f"{DAEMON}unauthorized: authentication required",
    'failed to solve: process "/bin/sh -c npm ci" did not complete successfully: exit code: 1',
]


@pytest.mark.parametrize("line", AWAY)
def test_registry_that_is_away_is_no_fault_of_the_revision(line):
    error = CommandError(["docker-compose", "pull"], "exited 1", f" a Pulling \n{line}\n")

    with pytest.raises(UnavailableError, match="registry of an image") as caught, answering():
        raise error

    assert caught.value.__cause__ is error


@pytest.mark.parametrize("line", ANSWERED)
def test_registry_that_answers_leaves_the_fault_with_the_revision(line):
    assert away(f" a Pulling \n{line}\n") is None
    assert away(f"{AWAY[0]}\n{line}\n") is None  # another image is away, too


def test_words_of_a_program_in_a_build_are_not_taken_for_dockers():
    said = "#7 0.512 dial tcp 127.0.0.1:1: connect: connection refused\n"
    said += f"#7 0.513 {AWAY[0]}\n{ANSWERED[-1]}\n"

    assert away(said) is None
    assert away("npm ERR! connection refused\n") is None
