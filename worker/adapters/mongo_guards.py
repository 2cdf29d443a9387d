"""What must be known before a deployment: that a backup of this can be restored.

A `readWrite` user can make a backup and may not restore it (no insert past a
validator; measured). To find that out on the way back is too late.
"""

from typing import Protocol

from worker.adapters.mongo_server import OURS, Server
from worker.adapters.mongo_writer import Writer
from worker.errors import GuardError, RestoreError

PROBE = f"{OURS}probe"
_EMPTY = b"\x16\x00\x00\x00\x07_id\x00" + bytes(12) + b"\x00"  # {_id: ObjectId(0…)}
_PROBE_OPTIONS = {"validator": {"never": {"$exists": True}}}
_PROBE_INDEX = {"v": {"$numberInt": "2"}, "key": {"a": {"$numberInt": "1"}}, "name": "a_1"}


class Databases(Protocol):
    """What `refuse_unsupported` looks at."""

    def server(self) -> Server:
        """Return the server."""


def refuse_unsupported(mongo: Databases) -> None:
    """Raise GuardError for a sharded cluster."""
    if mongo.server().sharded:
        raise GuardError(
            "data.mongodb is a sharded cluster (mongos), which cannot be backed up yet.",
            remedy="Back it up with the cluster's own tools and leave data.mongodb out.",
        )


def check_restorable(writer: Writer, user: tuple[str, str] | None) -> None:
    """Do to scratch collections what a restore does. Raises GuardError naming the role.

    Views need no right beyond these, and a first one would leave `system.views` behind.
    """
    try:
        writer.drop_ours()
        try:
            _rehearse(writer)
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


def _not_allowed(database: str, user: tuple[str, str] | None, error: GuardError) -> GuardError:
    name, source = user or ("", "admin")
    grant = (
        f'db.getSiblingDB("{source}").grantRolesToUser("{name}", '
        f'[{{role: "readWrite", db: "{database}"}}, {{role: "restore", db: "admin"}}])'
    )
    return GuardError(
        f"MongoDB's user {name or '(none)'} may not restore the database {database}: "
        f"{error.message}",
        remedy=f"Grant it, in mongosh as an administrator: {grant}; or name a URI that may "
        "restore in data.mongodb_admin_file.",
    )
