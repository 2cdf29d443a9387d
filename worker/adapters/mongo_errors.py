"""Turns pymongo's errors into ours, once, without a password in the words."""

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
)

from worker.errors import (
    BackupError,
    GuardError,
    MomentError,
    RestoreError,
    SheetanchorError,
    UnavailableError,
)

UNAUTHORIZED = 13
AUTHENTICATION_FAILED = 18
LOST_ITS_TIME = (239, 246)  # SnapshotTooOld, SnapshotUnavailable
REFUSED = "Authentication failed"  # mongod's words; pymongo keeps only them from the second try on
LONGEST = 300  # characters of a driver's message


class Translator:
    """Says what could not be done, with every secret of the URI blanked out."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        self._secrets = secrets

    @contextmanager
    def __call__(
        self, doing: str, wrong: type[BackupError] | type[RestoreError] = BackupError
    ) -> Iterator[None]:
        """Raise UnavailableError, GuardError or `wrong` for what fails inside.

        `doing` completes the sentence "MongoDB could not …".
        """
        try:
            yield
        except PyMongoError as error:
            raise self._ours(error, doing, wrong) from error

    def words(self, error: Exception) -> str:
        """Return the error's message, short and without secrets."""
        text = str(error).partition(", full error:")[0].partition(", Timeout:")[0]
        text = text.partition(" (configured timeouts:")[0]
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text[:LONGEST]

    def _ours(
        self, error: PyMongoError, doing: str, wrong: type[BackupError] | type[RestoreError]
    ) -> SheetanchorError:
        message = f"MongoDB could not {doing}: {self.words(error)}."
        code = error.code if isinstance(error, OperationFailure) else None
        if code == AUTHENTICATION_FAILED or REFUSED in message:  # tried again: as a time-out
            return GuardError(message, remedy="Check the user and the password in data.mongodb.")
        if code == UNAUTHORIZED:
            return GuardError(message, remedy="Grant the user that right, or name another user.")
        if isinstance(error, ConnectionFailure | ExecutionTimeout):
            return UnavailableError(message, remedy="See that mongod runs, then try again.")
        if isinstance(error, ConfigurationError):
            return GuardError(message, remedy="Check the options of the URI in data.mongodb.")
        if code in LOST_ITS_TIME:
            return MomentError(
                message,
                remedy="Try again; for a dump of more than five minutes, raise mongod's "
                "minSnapshotHistoryWindowInSeconds first.",
            )
        return wrong(message, remedy="Look into mongod's log for the cause, then try again.")
