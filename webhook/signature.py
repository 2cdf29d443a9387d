"""GitHub's HMAC over the raw body, header `X-Hub-Signature-256`. Pure.

Danger: this is all that keeps a stranger from deploying. Its answer and its
time must say nothing: not which secret matched, not whether the app exists.
SHA-1 (`X-Hub-Signature`) is never looked at: nobody may choose the algorithm
but us.
"""

import hmac
import secrets as random
from collections.abc import Mapping, Sequence

Secrets = Sequence[bytes]


class Keyring:
    """The webhook secrets of all apps; equally many for each app, also for none."""

    def __init__(self, secrets: Mapping[str, Secrets]) -> None:
        most = max(map(len, secrets.values()), default=1)
        self._nobody = _filled((), most)
        self._secrets = {app: _filled(given, most) for app, given in secrets.items()}

    def signed(self, app: str, body: bytes, header: bytes | None) -> bool:
        """Return whether the header signs exactly these bytes for this app.

        An unknown app costs the same work and is never signed for.
        """
        return matches(self._secrets.get(app, self._nobody), body, header)


def matches(secrets: Secrets, body: bytes, header: bytes | None) -> bool:
    """Return whether any of the secrets gives the header; all are always tried.

    `body` must be the bytes as received: JSON parsed and written again has
    another signature. Compared as bytes, for `compare_digest` raises on text
    that is not ASCII.
    """
    given, found = header or b"", False
    for secret in secrets:
        expected = b"sha256=" + hmac.new(secret, body, "sha256").hexdigest().encode()
        found |= hmac.compare_digest(expected, given)
    return found


def _filled(secrets: Secrets, most: int) -> Secrets:
    """Return the secrets and, up to `most`, ones that nobody can know."""
    return (*secrets, *(random.token_bytes(32) for _ in range(most - len(secrets))))
