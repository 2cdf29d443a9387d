"""The containers' logs, prefixed by name. They are hostile text: escaped and redacted."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from worker.adapters.containers import Container
from worker.adapters.engine import Engine
from worker.cli import output
from worker.errors import SheetanchorError
from worker.redact import plain

Redact = Callable[[str], str]


def written(engine: Engine, container: Container, tail: int, redact: Redact) -> list[str]:
    """Return the last lines that a container wrote."""
    return [_clean(line, redact) for line in lines([engine.logs(container.id, tail=tail)])]


def follow(engine: Engine, there: Sequence[Container], tail: int, redact: Redact) -> None:
    """Print what the containers wrote and write, until all have ended."""
    threads = [
        threading.Thread(target=_follow, args=(engine, one, tail, redact), daemon=True)
        for one in there
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def lines(chunks: Iterable[str]) -> Iterator[str]:
    """Yield whole lines; a chunk may hold several, or end inside one."""
    rest = ""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split("\n")
        yield from whole
    if rest:
        yield rest


def _follow(engine: Engine, one: Container, tail: int, redact: Redact) -> None:
    try:
        for line in lines(engine.follow(one.id, tail=tail)):
            output.out(f"{one.name} | {_clean(line, redact)}")
    except SheetanchorError as error:
        output.tell(f"{one.name}: {error}")


def _clean(line: str, redact: Redact) -> str:
    return plain(redact(line.removesuffix("\r")))
