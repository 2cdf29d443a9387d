"""Puts together what a manifest says of a backup."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from worker.adapters.mongo import Mongo
from worker.backups.dump import Dumped
from worker.backups.file_list import FileEntry, Files
from worker.backups.manifest import FEATURES, FORMAT, CollectionEntry, Manifest
from worker.backups.source import Source
from worker.clock import rfc3339

KINDS = ("pre-deploy", "fence", "scheduled", "manual", "safety")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The backup that was asked for."""

    source: Source
    kind: str
    deployment: str | None
    revision: str | None
    images: Mapping[str, str]
    why: str
    report: Callable[[str], None]


def describe(
    order: Order,
    *,
    name: str,
    begun: datetime,
    dumped: Dumped,
    kept: Files,
    moved: Sequence[str],
    warnings: list[str],
) -> Manifest:
    """Return the manifest. `moved`: files that the moment of the databases does not fit."""
    source = order.source
    databases = dumped.by_database(source.mongo.databases if source.mongo else ())
    return Manifest(
        format=FORMAT,
        app=source.app.name,
        id=name,
        kind=order.kind,
        why=order.why,
        deployment=order.deployment,
        revision=order.revision,
        images=dict(order.images),
        created_at=rfc3339(begun),
        finished_at=rfc3339(source.clock.now()),
        verified_at=None,
        one_moment=dumped.one_moment and not moved,
        one_moment_why=_why(dumped, moved),
        cluster_time=dumped.cluster_time,
        made_with=_made_with(),
        server=_server(source.mongo),
        databases=databases,
        uploads=list(source.app.data.uploads),
        files=kept,
        warnings=[*warnings, *_left_out(source.mongo)],
        bytes=_bytes(databases, kept),
    )


def _why(dumped: Dumped, moved: Sequence[str]) -> str:
    if not moved:
        return dumped.why
    return f"{len(moved)} uploaded files changed or vanished while it was made; {dumped.why}"


def _bytes(
    databases: Mapping[str, Mapping[str, CollectionEntry]], kept: Sequence[FileEntry]
) -> int:
    documents = sum(entry.bytes for entries in databases.values() for entry in entries.values())
    return documents + sum(entry.size for entry in kept)


def _server(mongo: Mongo | None) -> dict[str, str]:
    if mongo is None:
        return {}
    server, features = mongo.server(), mongo.feature_version()
    told = {FEATURES: features} if features else {}
    return {"version": server.version, "process": server.process, **told}


def _left_out(mongo: Mongo | None) -> list[str]:
    return [
        f"{database}.{name} is not in it: MongoDB lets nobody put it back."
        for database in (mongo.databases if mongo else ())
        for name in (mongo.left_out(database) if mongo else ())
    ]


def _made_with() -> dict[str, str]:
    found = {}
    for name in ("sheetanchor", "pymongo", "isal"):
        with contextlib.suppress(PackageNotFoundError):  # run from a checkout
            found[name] = version(name)
    return found
