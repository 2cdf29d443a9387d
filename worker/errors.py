"""Every error this program raises on purpose, and what to do about each.

* SheetanchorError
  - ConfigError            the configuration cannot be used; nothing was started
  - BusyError              another deployment of the app is running
  - HeldError              a person or a roll-back holds the app
  - NotFoundError          no such app, deployment, backup or release
  - UnavailableError       Redis, Docker, MongoDB or the remote did not answer
    . FullError            a disk has no room for what must be written
    . LimitedError         it asked to be left alone for a while
    . DiedError            the process that ran the deployment was killed
  - DeclinedError          GitHub will not take what it was told; trying again is no use
  - UsageError             the request cannot be carried out as it was made
    . EndedError           the deployment that it names has ended
  - StepError              a step did not reach its goal; the way back answers
    . CommandError         a program exited non-zero or ran out of time
    . GuardError           the deployment would cost data or control; refused
    . HealthError          the release did not become, or stay, healthy
    . BackupError          a backup could not be made, or is not what it says
      - MomentError        the databases could not be read as of one moment
    . RestoreError         data could not be put back; the live data is untouched
  - SkippedError           there is nothing to deploy; not a failure
  - CancelledError         a person stopped the deployment
"""

from collections.abc import Sequence


class SheetanchorError(Exception):
    """An error with a remedy.

    `message` says what happened, in the past tense, with the values involved.
    `remedy` says what a person can do next, in the imperative. Both are shown
    to people, so neither may hold a secret.
    """

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}"


class ConfigError(SheetanchorError):
    """The configuration cannot be used."""


class BusyError(SheetanchorError):
    """Another deployment of the app holds its lock."""


class HeldError(SheetanchorError):
    """The app is held: frozen, inconsistent, rolled back, pinned or stopped."""


class NotFoundError(SheetanchorError):
    """The app, deployment, backup or release does not exist."""


class UnavailableError(SheetanchorError):
    """Something outside did not answer; trying again later can help."""


class FullError(UnavailableError):
    """A disk has no room for what must be written."""


class LimitedError(UnavailableError):
    """It asked to be left alone for `wait` seconds."""

    def __init__(self, message: str, *, remedy: str, wait: float) -> None:
        super().__init__(message, remedy=remedy)
        self.wait = wait


class DiedError(UnavailableError):
    """The process that ran the deployment was killed, or its host stopped."""


class DeclinedError(SheetanchorError):
    """What GitHub was told is not to its liking; the same again would not be either."""


class UsageError(SheetanchorError):
    """The request cannot be carried out as it was made."""


class EndedError(UsageError):
    """The deployment has its final status: nothing about it can be changed."""


class StepError(SheetanchorError):
    """A step did not reach its goal."""


class CommandError(StepError):
    """A program was missing, exited non-zero, or was killed at its time limit."""

    def __init__(self, argv: Sequence[str], outcome: str, tail: str) -> None:
        super().__init__(
            f"`{' '.join(argv)}` {outcome}.",
            remedy=f"It ended with:\n{tail}" if tail else "It said nothing; run it by hand.",
        )
        self.argv = tuple(argv)
        self.tail = tail


class GuardError(StepError):
    """Going on would cost data or control, so the deployment was refused."""


class HealthError(StepError):
    """The release did not become healthy, or did not stay so."""


class BackupError(StepError):
    """A backup could not be made, or is not what its manifest says."""


class MomentError(BackupError):
    """The databases could not be read as they were at one moment; they can be read again."""


class RestoreError(StepError):
    """Data could not be put back; what was live before is live still."""


class SkippedError(SheetanchorError):
    """There was nothing to deploy."""


class CancelledError(SheetanchorError):
    """A person stopped the deployment before the fence."""
