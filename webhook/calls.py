"""What a call takes and gives, said once: the view gets it, the OpenAPI document shows it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from flask import current_app
from flask.typing import ResponseReturnValue
from pydantic import BaseModel

from webhook.access import too_many
from webhook.asking import Asked, Query, parse, parse_query
from webhook.limits import Limits

View = Callable[..., ResponseReturnValue]
Gives = type[BaseModel] | tuple[type[BaseModel], ...] | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call. `gives`: of each good status the models, or the content of other media types.

    `may`: the statuses of problems that only some calls have. `sends`: the content of a body
    that is no model; `headers`: those that it reads.
    """

    takes: type[Asked] | None = None
    query: type[Query] | None = None
    gives: Mapping[int, Gives]
    may: tuple[int, ...] = ()
    sends: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[Mapping[str, Any], ...] = ()


_calls: dict[object, Call] = {}


def call(**said: Any) -> Callable[[View], View]:
    """Describe a view (see `Call`); it gets its body as `asked`, its query as `page`."""
    described = Call(**said)

    def decorate(view: View) -> View:
        @wraps(view)
        def answered(**named: Any) -> ResponseReturnValue:
            if described.query:
                named["page"] = parse_query(described.query)
            if not described.takes:
                return view(**named)
            named["asked"] = parse(described.takes)
            return _limited(view, named)

        _calls[answered] = described
        return answered

    return decorate


def _limited(view: View, named: dict[str, Any]) -> ResponseReturnValue:
    """Have the work accepted, unless too much was accepted for the app of late."""
    limits: Limits = current_app.extensions["limits"]
    app = str(named.get("name", ""))
    if left := limits.work.left(app):
        raise too_many(f"Too much was asked for {app} of late.", left)
    answer = view(**named)
    if app:
        limits.work.count(app)
    return answer


def call_of(view: object) -> Call:
    """Return what was said of a view. Raises KeyError when nothing was."""
    return _calls[view]
