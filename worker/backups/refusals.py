"""What is refused before a restore or a drill, with nothing touched.

The danger is a backup that fits only almost: another app's, a newer server's, a damaged
one, one whose manifest somebody wrote to lead elsewhere. (Paths that leave the folder are
no files of the backup, so `verify` misses them there.) Each refusal says what to do.
"""

from collections.abc import Callable

from worker.adapters.mongo import Mongo
from worker.adapters.mongo_server import OURS
from worker.backups.catalogue import Backup
from worker.backups.difference import PARTS
from worker.backups.manifest import FEATURES, Manifest
from worker.backups.progress import Progress
from worker.backups.source import Source
from worker.backups.verify import verify
from worker.errors import RestoreError, UsageError


def checked(
    target: Source,
    backup: Backup,
    only: str | None,
    to_database: str | None,
    report: Callable[[str], None],
) -> Manifest:
    """Return the manifest of a backup that is whole, belongs here and could be restored.

    Nothing is touched. Raises BackupError, UsageError, RestoreError or UnavailableError.
    """
    if only is not None and only not in PARTS:
        raise UsageError(f"{only!r} is no part.", remedy=f"Use one of {', '.join(PARTS)}.")
    if to_database is not None and only not in (None, "mongodb"):
        raise UsageError(
            f"Only MongoDB can be loaded into another database, not {only}.",
            remedy="Leave out either.",
        )
    if backup.app != target.app.name:
        raise UsageError(
            f"The backup {backup.id} is of {backup.app}, not of {target.app.name}.",
            remedy=f"Name a backup of {target.app.name}.",
        )
    manifest = verify(backup.path, Progress(report, target.clock, "read back").file)
    if manifest.app != target.app.name:
        raise UsageError(f"{backup.path} is of {manifest.app}.", remedy="Name another backup.")
    if only in (None, "mongodb") and manifest.databases:
        _check_databases(target.mongo, manifest, to_database)
    return manifest


def _check_databases(mongo: Mongo | None, manifest: Manifest, to_database: str | None) -> None:
    if mongo is None:
        raise UsageError(
            "The backup holds databases, and data.mongodb is not set.",
            remedy="Set it, or restore with --only uploads.",
        )
    there, here = manifest.server.get("version", "0"), mongo.server().version
    if _release(here) < _release(there):
        raise RestoreError(
            f"The backup was made with MongoDB {there}, and {here} runs here. Nothing was touched.",
            remedy=f"Install MongoDB {there} or newer.",
        )
    _refuse_older_features(manifest, mongo)
    _refuse_odd_names(manifest)
    unknown = sorted(manifest.databases.keys() - set(mongo.databases))
    if unknown and to_database is None:
        raise UsageError(
            f"The backup holds {', '.join(unknown)}, which data.mongodb does not name.",
            remedy="Add it to data.databases, or load it elsewhere with --to-database.",
        )
    mongo.refuse_unsupported()


def _refuse_older_features(manifest: Manifest, mongo: Mongo) -> None:
    """A newer mongod may be kept at an older one's features: it would refuse options half way."""
    there, here = manifest.server.get(FEATURES), mongo.feature_version()
    if there and here and _release(here) < _release(there):
        raise RestoreError(
            f"The backup was made at MongoDB's feature compatibility version {there}, and it is "
            f"{here} here. Nothing was touched.",
            remedy="Raise it, in mongosh as an administrator: "
            f'db.adminCommand({{setFeatureCompatibilityVersion: "{there}"}}) '
            "(from 7.0 on with confirm: true).",
        )


def _refuse_odd_names(manifest: Manifest) -> None:
    """A rename to such a name would fail in the middle of the swap, or reach MongoDB's own."""
    for database, entry in manifest.collections():
        if entry.name.startswith(("system.", OURS, ".")) or {"$", "\0"} & {*entry.name}:
            raise RestoreError(
                f"The backup holds {database}.{entry.name!r}, which is no collection of an app's. "
                "Nothing was touched.",
                remedy="Use another backup; somebody edited this one.",
            )


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
