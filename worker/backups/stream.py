"""A collection's stream: BSON documents back to back, compressed with gzip.

The danger is a stream that ends early and looks whole: mongorestore accepts one cut at
a document's border (measured). So the writer counts and hashes the raw bytes,
and the reader checks the gzip member's end and each document's length prefix.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from isal import isal_zlib

from worker.adapters import files
from worker.backups.ahead import ahead
from worker.errors import BackupError

GZIP = 31  # zlib's window bits that stand for a gzip header and trailer
SMALLEST_DOCUMENT = 5  # bytes
LARGEST_DOCUMENT = 48 << 20  # bytes; MongoDB's own limit is 16 MB and a little
_LENGTH = struct.Struct("<i").unpack_from
# Typed as an instance in isal's stubs.
_TORN = cast(type[Exception], isal_zlib.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a stream came to: raw documents and bytes, and the compressed file."""

    documents: int
    bytes: int
    sha256: str
    file_size: int
    file_sha256: str


def write(
    batches: Iterable[bytes], descriptor: int, tick: Callable[[int, int], None] = lambda *_: None
) -> Written:
    """Compress batches of documents into an open file, at level 1 (7x faster than mongodump's).

    One thread reads, one counts and hashes, this one compresses. `tick` gets the raw bytes
    and documents so far, after each batch; what it raises ends the stream.
    """
    compressor = isal_zlib.compressobj(level=1, wbits=GZIP)
    tally = _Tally()
    packed, out, file_size = hashlib.sha256(), files.write_through(descriptor), 0
    with closing(ahead(batches)) as read, closing(ahead(tally.over(read))) as counted:
        for batch in counted:
            file_size += _emit(compressor.compress(batch), packed, out)
            tick(tally.bytes, tally.documents)
    file_size += _emit(compressor.flush(), packed, out)  # of no documents: a valid empty member
    return Written(
        documents=tally.documents,
        bytes=tally.bytes,
        sha256=tally.digest.hexdigest(),
        file_size=file_size,
        file_sha256=packed.hexdigest(),
    )


def unpacked(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the raw bytes of one gzip member. Raises BackupError if it is torn or not alone."""
    stream = isal_zlib.decompressobj(wbits=GZIP)
    for part in parts:
        if stream.eof:
            raise _broken("goes on after its end")
        try:
            raw = stream.decompress(part)
        except _TORN as error:
            raise _broken(f"is not gzip: {error}") from error
        if raw:
            yield raw
    if not stream.eof or stream.unused_data:
        raise _broken("goes on after its end" if stream.eof else "ends before its end")


def split(parts: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield the documents, in lists. Raises BackupError for one that is torn."""
    for whole, ends in _framed(parts):
        yield [whole[begin:end] for begin, end in pairwise([0, *ends])]


def measure(batches: Iterable[bytes]) -> tuple[int, int, str]:
    """Return documents, bytes and SHA-256 of a raw stream, read by another thread."""
    with closing(ahead(batches)) as read:
        return examine(read)


def examine(parts: Iterable[bytes]) -> tuple[int, int, str]:
    """Return documents, bytes and SHA-256 of a raw stream. Raises BackupError if it is torn."""
    tally = _Tally()
    for _ in tally.over(parts):
        pass
    return tally.documents, tally.bytes, tally.digest.hexdigest()


class _Tally:
    """Counts and hashes a raw stream while it passes."""

    def __init__(self) -> None:
        self.documents = 0
        self.bytes = 0
        self.digest = hashlib.sha256()

    def over(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the stream's parts, each begun with a document. Raises BackupError if torn."""
        for whole, ends in _framed(parts):
            self.documents += len(ends)
            self.bytes += ends[-1]
            part = whole if ends[-1] == len(whole) else whole[: ends[-1]]
            self.digest.update(part)
            yield part


def _framed(parts: Iterable[bytes]) -> Iterator[tuple[bytes, list[int]]]:
    """Yield bytes that begin with a document, and where each document in them ends."""
    rest = b""
    for part in parts:
        whole = rest + part if rest else part
        ends = _ends(whole)
        rest = whole[ends[-1] :] if ends else whole
        if ends:
            yield whole, ends
    if rest:
        raise _broken(f"ends inside a document, {len(rest)} bytes after its begin")


def _ends(whole: bytes) -> list[int]:
    found, end, size = [], 0, len(whole)
    while end + 4 <= size:
        (length,) = _LENGTH(whole, end)
        if not SMALLEST_DOCUMENT <= length <= LARGEST_DOCUMENT:
            raise _broken(f"holds a document of {length} bytes")
        end += length
        if end > size:
            break
        if whole[end - 1]:
            raise _broken("holds a document that does not end with a zero byte")
        found.append(end)
    return found


def _emit(packed: bytes, digest: "hashlib._Hash", out: files.Sink) -> int:
    digest.update(packed)
    out(packed)
    return len(packed)


def _broken(how: str) -> BackupError:
    return BackupError(f"The stream {how}.", remedy="Use another backup.")
