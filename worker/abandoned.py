"""Apps that the configuration does not name any more, and that are in the middle.

Somebody took one out, or gave it another name, while its deployment was open or a failed
way back waited for a person. The danger: nobody brings it to its end, and the app stays
down without a word; and under its new name it would be deployed as if it were whole, on
data that is half put back. Only a person can say what was meant.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.clock import Clock
from worker.decisions import Decisions
from worker.errors import ConfigError
from worker.journal import Journal, journals


@dataclass(frozen=True)
class Abandoned:
    """One such app: its name, its Compose project if that was known, and what waits."""

    app: str
    project: str | None
    what: str

    def __str__(self) -> str:
        return (
            f"The app {self.app} is not in sheetanchor.toml any more, and {self.what}. Name it"
            f" [apps.{self.app}] again, as it was, and have that brought to its end first."
        )


def abandoned(apps: Path, known: Collection[str], clock: Clock) -> Iterator[Abandoned]:
    """Yield those among the folders of `apps` that are not `known`. Only looks."""
    homes = sorted(apps.iterdir()) if apps.is_dir() else []
    for home in homes:
        there = journals(home / "journal", clock)
        if home.name in known or not there:
            continue
        try:
            what, project = _in_the_middle(home, there), _project(there)
        except (ValueError, KeyError, TypeError, ConfigError) as error:
            what, project = f"what it left in {home} cannot be read ({error})", None
        if what:
            yield Abandoned(home.name, project, what)


def _in_the_middle(home: Path, there: Sequence[Journal]) -> str | None:
    for journal in there:
        begun = any(record["event"] == "intent" for record in journal.records())
        if begun and not journal.ended():
            return f"its deployment {journal.path.stem} is in the middle"
    hold = Decisions(home / "decisions.json").read()["hold"] or {}
    return f"it is inconsistent since {hold['at']}" if hold.get("kind") == "inconsistent" else None


def _project(there: Sequence[Journal]) -> str | None:
    """Return the Compose project that the newest deployment found."""
    for journal in reversed(there):
        for record in journal.records():
            if project := record["facts"].get("project"):
                return str(project)
    return None
