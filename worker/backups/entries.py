"""A collection's entry in the manifest: where its files are, and its metadata.

Two files a collection, one a view, named as mongodump names them.
"""

from dataclasses import replace

from isal import isal_zlib

from worker.adapters.files import closing, sha256, write_all
from worker.adapters.files_tree import Tree
from worker.adapters.mongo_format import file_stem, metadata
from worker.adapters.mongo_server import BUCKETS, Collection
from worker.backups import proof, stream
from worker.backups.manifest import CollectionEntry


def stored_as(kind: str, name: str) -> str:
    """Return the name of what holds the documents: a time series keeps them in buckets."""
    return f"{BUCKETS}{name}" if kind == "timeseries" else name


def entry_files(database: str, entry: CollectionEntry) -> list[str]:
    """Return where an entry's metadata, and its documents, must be in a backup."""
    stored = stored_as(entry.type, entry.name)
    documents = [] if entry.type == "view" else [f"{_place(database, stored)}.bson.gz"]
    return [f"{_place(database, entry.name)}.metadata.json.gz", *documents]


def entry_of(collection: Collection) -> CollectionEntry:
    """Return an entry without its documents."""
    entry = CollectionEntry(
        name=collection.name,
        type=collection.type,
        options=collection.options,
        indexes=collection.indexes,
        uuid=collection.uuid,
        ttl=collection.ttl,
        capped=collection.capped,
        metadata_file="",
    )
    metadata_file, *documents = entry_files(collection.database, entry)
    return replace(entry, metadata_file=metadata_file, file="".join(documents))


def with_documents(
    entry: CollectionEntry, held: CollectionEntry | stream.Written
) -> CollectionEntry:
    """Return an entry whose file holds these documents: just written, or linked to."""
    return replace(
        entry,
        documents=held.documents,
        bytes=held.bytes,
        sha256=held.sha256,
        file_size=held.file_size,
        file_sha256=held.file_sha256,
    )


def describes(entry: CollectionEntry, collection: Collection | None) -> bool:
    """Return whether a listed collection is the one of the entry, unaltered."""
    return (
        collection is not None
        and (entry.type, entry.uuid) == (collection.type, collection.uuid)
        and proof.same(entry.options, collection.options)
        and proof.same_indexes(entry.indexes, collection.indexes)
    )


def metadata_of(entry: CollectionEntry) -> bytes:
    """Return what an entry's metadata.json holds."""
    return metadata(entry.name, entry.type, entry.options, entry.indexes, entry.uuid)


def write_metadata(tree: Tree, entry: CollectionEntry) -> CollectionEntry:
    """Write an entry's metadata.json.gz; return the entry with its hash."""
    compressor = isal_zlib.compressobj(level=1, wbits=stream.GZIP)
    packed = compressor.compress(metadata_of(entry)) + compressor.flush()
    tree.remove(entry.metadata_file)
    with closing(tree.create(entry.metadata_file)) as descriptor:
        digest, size = sha256([packed], write_all(descriptor))
    return replace(entry, metadata_sha256=digest, metadata_size=size)


def _place(database: str, collection: str) -> str:
    return f"mongodb/{database}/{file_stem(collection)}"
