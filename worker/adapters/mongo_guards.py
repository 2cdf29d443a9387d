"""What must be known before a deployment: that a backup of this can be restored.

A `readWrite` user can make a backup and may not restore it (no insert past a
validator; measured). To find that out on the way back is too late.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from bson import ObjectId, encode

from worker.adapters.mongo_server import BUCKETS, OURS, Collection, Reading, Server
from worker.adapters.mongo_writer import Writer
from worker.errors import GuardError, RestoreError

PROBE = f"{OURS}probe"
_EMPTY = b"\x16\x00\x00\x00\x07_id\x00" + bytes(12) + b"\x00"  # {_id: ObjectId(0…)}
_THEN = datetime(2026, 1, 1, tzinfo=UTC)
_BUCKET = encode(
    {
        "_id": ObjectId.from_datetime(_THEN),
        "control": {"version": 1, "min": {"t": _THEN}, "max": {"t": _THEN}},
        "data": {"t": {"0": _THEN}},
    }
)
_PROBE_OPTIONS = {"validator": {"never": {"$exists": True}}}
_PROBE_INDEX = {"v": {"$numberInt": "2"}, "key": {"a": {"$numberInt": "1"}}, "name": "a_1"}


class Databases(Protocol):
    """What `refuse_unsupported` looks at."""

    databases: tuple[str, ...]
    user: tuple[str, str] | None

    def server(self) -> Server:
        """Return the server."""

    def time_series(self, database: str) -> list[Collection]:
        """Return its time series."""

    def reading(self, collection: Collection) -> Reading:
        """Return its counters."""


def refuse_unsupported(mongo: Databases) -> None:
    """Raise GuardError for a sharded cluster, and time series that the user may not read.

    `readWrite` is no right to their buckets (measured).
    """
    if mongo.server().sharded:
        raise GuardError(
            "data.mongodb is a sharded cluster (mongos), which cannot be backed up yet.",
            remedy="Back it up with the cluster's own tools and leave data.mongodb out.",
        )
    for database in mongo.databases:
        for one in mongo.time_series(database):
            _refuse_unreadable(mongo, one)


def _refuse_unreadable(mongo: Databases, series: Collection) -> None:
    try:
        mongo.reading(series)
    except GuardError as error:
        name = mongo.user[0] if mongo.user else "(none)"
        raise GuardError(
            f"MongoDB's user {name} may not read the time series {series.namespace}: "
            f"{error.message}",
            remedy=f"Grant it, in mongosh as an administrator: "
            f"{_grant(mongo.user, series.database, 'backup', 'restore')}",
        ) from error


def check_restorable(writer: Writer, user: tuple[str, str] | None, *, series: bool = False) -> None:
    """Do to scratch collections what a restore does. Raises GuardError naming the role.

    `series`: of a database with time series, which takes a right of its own.
    Views need no right beyond these, and a first one would leave `system.views` behind.
    """
    try:
        writer.drop_ours()
        try:
            _rehearse(writer)
            if series:
                _rehearse_series(writer)
        finally:
            writer.drop_ours()
    except GuardError as error:
        raise _not_allowed(writer.name, user, error) from error
    except RestoreError as error:
        raise GuardError(
            f"A restore of {writer.name} was rehearsed on an empty collection and failed: "
            f"{error.message}",
            remedy=error.remedy,
        ) from error


@contextmanager
def looking(writer: Writer, user: tuple[str, str] | None) -> Iterator[None]:
    """Name the role where the user may not even look into a database to restore into."""
    try:
        yield
    except GuardError as error:
        raise _not_allowed(writer.name, user, error) from error


def _rehearse(writer: Writer) -> None:
    staged, live = f"{PROBE}.staged", f"{PROBE}.live"
    writer.create(live, {})
    writer.create(staged, _PROBE_OPTIONS)
    writer.insert(staged, [_EMPTY])
    writer.create_indexes(staged, [_PROBE_INDEX])
    read = b"".join(writer.raw_batches(staged))
    writer.drop_index(staged, "a_1")
    writer.swap_in(staged, live)
    if read != _EMPTY:
        raise RestoreError(
            f"{writer.name} did not return the document that was inserted.",
            remedy="See what stands between sheetanchor and mongod.",
        )


def _rehearse_series(writer: Writer) -> None:
    name = f"{PROBE}.series"
    writer.create(name, {"timeseries": {"timeField": "t"}})
    writer.insert(f"{BUCKETS}{name}", [_BUCKET])


def foreseen(writer: Writer, user: tuple[str, str] | None) -> GuardError | None:
    """Return the error that `check_restorable` would raise, as far as asking tells; else None."""
    missing = writer.missing_rights()
    if not missing:
        return None
    lacks = GuardError(f"it lacks {', '.join(missing)}.", remedy="")
    return _not_allowed(writer.name, user, lacks)


def _not_allowed(database: str, user: tuple[str, str] | None, error: GuardError) -> GuardError:
    name = user[0] if user else ""
    return GuardError(
        f"MongoDB's user {name or '(none)'} may not restore the database {database}: "
        f"{error.message}",
        remedy="Grant it, in mongosh as an administrator: "
        f"{_grant(user, database, 'restore')}; or name a URI that may restore in "
        "data.mongodb_admin_file.",
    )


def _grant(user: tuple[str, str] | None, database: str, *roles: str) -> str:
    name, source = user or ("", "admin")
    wanted = ", ".join(f'{{role: "{role}", db: "admin"}}' for role in roles)
    return (
        f'db.getSiblingDB("{source}").grantRolesToUser("{name}", '
        f'[{{role: "readWrite", db: "{database}"}}, {wanted}])'
    )
