"""What a condition reads of a request: its variables; with their values, for explanations."""

from collections.abc import Iterator
from typing import Any

from policy_core.condition.grammar import ROOTS
from policy_core.condition.text import render_path
from policy_core.request import Request
from policy_core.windows import timestamp

_SHOWN = frozenset(ROOTS) - {"data"}
"""Reference data is the policy's own, and may be large."""


def values_read(condition: Any, request: Request) -> dict[str, object]:
    """Return the value of each path a checked condition reads of request, host and time; None where it is absent."""
    return {render_path(name, tuple(fields)): _value(name, fields, request) for name, *fields in paths_read(condition)}


def paths_read(node: Any) -> Iterator[tuple[str, ...]]:
    """Yield, as (variable, field, …), each path that a checked condition reads of request, host and time.

    It may read anything below a path: what is selected by a computed key belongs to the whole.
    """
    if type(node) is not list:
        return
    name, *rest = node
    if name == "var":
        if rest[0] in _SHOWN:
            yield tuple(rest)
    elif name == "has" and type(rest[0]) is list and rest[0][0] == "var":
        yield from paths_read([*rest[0], rest[1]])
    else:
        for part in rest:
            yield from paths_read(part)


def _value(name: str, fields: list[str], request: Request) -> object:
    if name == "now":
        return timestamp(request.now)
    value: object = dict(request.host) if name == "host" else getattr(request, name)
    for field in fields:
        value = value.get(field) if isinstance(value, dict) else None
    return value
