"""The card of a copy: whose backup it is, and of what parts. Small, so lists are quick.

One line of JSON, last to come to a place whose folders have no rename of their own. It is
believed for lists only: what is brought home is proven by the backup's own manifest.
"""

import json
from dataclasses import asdict, dataclass
from typing import Self

from worker.backups.manifest import Manifest
from worker.formats import BACKUP_ID

CARD = "offsite.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the tar stream that a copy is cut into; `name` has number and hash."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a copy is. `bytes` are the backup's; no parts: it is a tree of files."""

    app: str
    id: str
    kind: str
    created_at: str
    bytes: int
    parts: tuple[Part, ...] = ()
    format: int = FORMAT

    @classmethod
    def of(cls, manifest: Manifest, parts: tuple[Part, ...] = ()) -> Self:
        """Return the card of a backup."""
        return cls(
            app=manifest.app,
            id=manifest.id,
            kind=manifest.kind,
            created_at=manifest.created_at,
            bytes=manifest.bytes,
            parts=parts,
        )

    def line(self) -> str:
        """Return it as it is stored."""
        return f"{json.dumps(asdict(self))}\n"


@dataclass(frozen=True, slots=True)
class Copy:
    """What a card lies with; `whole`: all of it is there, as it was proven when it was put."""

    card: Card
    whole: bool = True

    @property
    def id(self) -> str:
        """The backup's id."""
        return self.card.id

    @property
    def kind(self) -> str:
        """The backup's kind."""
        return self.card.kind

    @property
    def created_at(self) -> str:
        """When the backup was made."""
        return self.card.created_at

    @property
    def verified_at(self) -> str | None:
        """As retention asks: half a copy counts for none."""
        return self.card.created_at if self.whole else None


def read(line: str) -> Card | None:
    """Return the card of a line; None for what is none, or of a later format."""
    try:
        stored = json.loads(line)
        stored["parts"] = tuple(Part(**part) for part in stored["parts"])
        card = Card(**stored)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    texts = (card.app, card.id, card.kind, card.created_at)
    if card.format != FORMAT or not all(isinstance(text, str) for text in texts):
        return None
    plain = all("/" not in part.name and part.name[:1] not in ("", ".") for part in card.parts)
    return card if plain and BACKUP_ID.fullmatch(card.id) else None


def newest_first(cards: list[Card]) -> list[Card]:
    """Return them in that order."""
    return sorted(cards, key=lambda card: (card.created_at, card.id), reverse=True)
