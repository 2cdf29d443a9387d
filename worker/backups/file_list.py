"""The files that a manifest names: entries, and the text that they are, a line each.

There are tens of thousands, and a list of backups asks for none of them: so what was read
stays text until somebody asks, and what was written once is not put into words again. The
danger is a text that turns out wrong only then: so it counts only if every byte of every
line is as we write it, each field of its type; anything else is read at once, as a whole.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self, overload


class FileEntry(NamedTuple):
    """A file, folder or link; `path` is relative to the backup: uploads/… or config/….

    `racy`: written so shortly before it was copied that its times cannot prove that it
    was not written again. A tuple: there are tens of thousands.
    """

    path: str
    type: str  # file, dir, link
    size: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sha256: str = ""
    target: str = ""
    racy: bool = False


class Files(Sequence[FileEntry]):
    """All of them. What has a text and no entries yet was proven to be a text of ours."""

    def __init__(self, entries: Sequence[FileEntry], earlier: Sequence[FileEntry] = ()) -> None:
        """Hold entries; those that are the very ones of `earlier` are in words already."""
        self._entries: Sequence[FileEntry] | None = entries
        self._earlier = earlier
        self._text: bytes | None = None

    @classmethod
    def of(cls, entries: Sequence[FileEntry]) -> "Files":
        """Return the files of any sequence; of files, themselves."""
        return entries if isinstance(entries, Files) else cls(entries)

    @classmethod
    def in_text(cls, text: bytes, begin: int) -> Self | None:
        """Return the files of the lines that begin there; None when they are not as we write them.

        What follows the last line is the caller's to look at: `len(found.text)` bytes on.
        """
        found = _LINES.match(text, begin)
        if found is None:
            return None
        files = cls(())
        files._entries, files._text = None, found[0]
        return files

    @property
    def text(self) -> bytes:
        """The JSON of all, a line each."""
        if self._text is None:
            known: dict[int, bytes] = {}
            if self._earlier:
                lines = Files.of(self._earlier).text.split(_BETWEEN)
                known = dict(zip(map(id, self._earlier), lines, strict=True))
            new = iter(_in_words([entry for entry in self if id(entry) not in known]))
            self._text = _BETWEEN.join([known.get(id(entry)) or next(new) for entry in self])
            self._earlier = ()
        return self._text

    def regular(self) -> int:
        """Return how many are regular files: not folders, not links."""
        if self._entries is None:
            return self.text.count(b'", "type": "file", ')  # in a string: with a backslash
        return sum(entry.type == "file" for entry in self)

    @overload
    def __getitem__(self, at: int) -> FileEntry: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[FileEntry]: ...
    def __getitem__(self, at: int | slice) -> FileEntry | Sequence[FileEntry]:
        return self._all()[at]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[FileEntry]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def _all(self) -> Sequence[FileEntry]:
        if self._entries is None:
            self._entries = [
                *map(FileEntry._make, map(dict.values, json.loads(b"[%b]" % self.text)))
            ]
        return self._entries


def _in_words(entries: Sequence[FileEntry]) -> list[bytes]:
    """Return a line each: made in one go, five times as fast.

    Inside of a string a quote has a backslash before it, so what begins a line is none.
    """
    whole = json.dumps([entry._asdict() for entry in entries])[1:-1]
    return whole.replace('}, {"path": ', '},\n{"path": ').encode().split(_BETWEEN)


_BETWEEN = b",\n"  # two lines: no string holds a line's end
_TEXT = r'"(?:[ !#-\[\]-\x7f]++|\\["\\/bfnrt]|\\u[0-9a-f]{4})*+"'
_FIELDS = {
    "type": '"(?:file|dir|link)"',
    "sha256": '"(?:[0-9a-f]{64})?"',
}
_KINDS: dict[Any, str] = {
    str: _TEXT,
    int: "-?(?:0|[1-9][0-9]{0,19}+)",
    bool: "(?:true|false)",
}
_LINE = ", ".join(
    f'"{name}": {_FIELDS.get(name, _KINDS[kind])}'
    for name, kind in FileEntry.__annotations__.items()
)
_LINES = re.compile(rf"(?:\{{{_LINE}\}},\n)*+\{{{_LINE}\}}".encode())
