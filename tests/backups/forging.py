"""Edits a backup so that all of it still fits: its files, its manifest, its checksum."""

import gzip
from dataclasses import replace

from worker.adapters import files
from worker.adapters.mongo_format import metadata
from worker.backups import manifest as manifests
from worker.backups.entries import entry_files


def forge_collection(backup, old_name, /, **changes):
    """Change what a backup says of a collection, its name and metadata file as well."""
    found = manifests.read(backup.path)
    entry = found.databases["thynk"].pop(old_name)
    for path in entry_files("thynk", entry):
        kind = "data" if "bson" in path else "metadata"
        (backup.path / path).rename(backup.path / kind)
    entry = replace(entry, **changes)
    metadata_file, data = entry_files("thynk", entry)
    written = metadata(entry.name, entry.type, entry.options, entry.indexes, entry.uuid)
    (backup.path / "metadata").unlink()
    (backup.path / metadata_file).write_bytes(gzip.compress(written))
    (backup.path / "data").rename(backup.path / data)
    digest, size = files.sha256_of(backup.path / metadata_file)
    told = {"metadata_file": metadata_file, "metadata_sha256": digest, "metadata_size": size}
    found.databases["thynk"][entry.name] = replace(entry, file=data, **told)
    manifests.write(backup.path, found)
