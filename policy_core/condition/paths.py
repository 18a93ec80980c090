"""Reading variables: the closures that fetch ``resource.properties.instances`` from a request.

The common shapes have a closure of their own; on a miss the slow walk finds out what to say.
"""

import operator
from collections.abc import Callable
from datetime import UTC, datetime

from policy_core.condition.code import Frame, Run
from policy_core.condition.grammar import INT_MAX, INT_MIN
from policy_core.condition.text import render_path
from policy_core.condition.values import ConditionError, Value, beyond_int64, type_name
from policy_core.request import Request

_MISSES = (KeyError, TypeError)
_SCALARS = {
    ("subject", "type"): "subject_type",
    ("subject", "id"): "subject_id",
    ("action", "name"): "action_name",
    ("resource", "type"): "resource_type",
    ("resource", "id"): "resource_id",
}


def request_path(name: str, fields: tuple[str, ...]) -> Run:
    """Return the closure reading fields of subject, action, resource, context, host or (without fields) now."""
    if name == "now":
        return _now if not fields else _failing(f"{render_path('now', fields[:1])}: now is a timestamp, not a map")
    if name == "host" and not fields:
        return _host
    if (name, *fields) in _SCALARS:
        read = operator.attrgetter(_SCALARS[name, fields[0]])
        return lambda r, _f: read(r)
    if name == "context" and len(fields) == 1:
        return _context_field(fields[0])
    if len(fields) == 2 and fields[0] == "properties" and name in ("subject", "resource"):
        return _subject_property(fields[1]) if name == "subject" else _resource_property(fields[1])
    return _walk(name, operator.attrgetter(name), fields)


def bound_path(slot: int, name: str, fields: tuple[str, ...]) -> Run:
    """Return the closure reading a variable that a comprehension binds, or fields of its value."""
    if fields:
        return _walk_frame(slot, name, fields)

    def run(_r: Request, f: Frame) -> Value:
        value = f[slot]
        if type(value) is int and not INT_MIN <= value <= INT_MAX:
            raise beyond_int64(["var", name])
        return value

    return run


def holder(node: Value, field: str) -> Run | None:
    """Return the closure of ``has(context.field)`` and its like: of what is an object in every request."""
    if node == ["var", "context"]:
        return lambda r, _f: field in r.context
    if node == ["var", "subject", "properties"]:
        return lambda r, _f: field in r.subject_properties
    if node == ["var", "resource", "properties"]:
        return lambda r, _f: field in r.resource_properties
    return None


def follow(name: str, value: Value, fields: tuple[str, ...]) -> Value:
    """Return what `fields` lead to from a variable's value; raise ConditionError naming the field that fails."""
    for count, field in enumerate(fields, 1):
        if type(value) is not dict:
            before = render_path(name, fields[: count - 1])
            found = type_name(value)
            raise ConditionError(f"{render_path(name, fields[:count])}: {before} is of type {found}, not a map")
        if field not in value:
            raise ConditionError(f"{render_path(name, fields[:count])}: absent")
        value = value[field]
    if type(value) is int and not INT_MIN <= value <= INT_MAX:
        raise beyond_int64(["var", name, *fields])
    return value


def _context_field(field: str) -> Run:
    def run(r: Request, _f: Frame) -> Value:
        try:
            value = r.context[field]
        except KeyError:
            return follow("context", r.context, (field,))
        if type(value) is int and not INT_MIN <= value <= INT_MAX:
            raise beyond_int64(["var", "context", field])
        return value

    return run


def _subject_property(field: str) -> Run:
    def run(r: Request, _f: Frame) -> Value:
        try:
            value = r.subject_properties[field]
        except KeyError:
            return follow("subject", r.subject, ("properties", field))
        if type(value) is int and not INT_MIN <= value <= INT_MAX:
            raise beyond_int64(["var", "subject", "properties", field])
        return value

    return run


def _resource_property(field: str) -> Run:
    def run(r: Request, _f: Frame) -> Value:
        try:
            value = r.resource_properties[field]
        except KeyError:
            return follow("resource", r.resource, ("properties", field))
        if type(value) is int and not INT_MIN <= value <= INT_MAX:
            raise beyond_int64(["var", "resource", "properties", field])
        return value

    return run


def _walk(name: str, root: Callable[[Request], Value], fields: tuple[str, ...]) -> Run:
    def run(r: Request, _f: Frame) -> Value:
        value = root(r)
        try:
            for field in fields:
                value = value[field]
        except _MISSES:
            return follow(name, dict(root(r)), fields)
        if type(value) is int and not INT_MIN <= value <= INT_MAX:
            raise beyond_int64(["var", name, *fields])
        return value

    return run


def _walk_frame(slot: int, name: str, fields: tuple[str, ...]) -> Run:
    def run(_r: Request, f: Frame) -> Value:
        return follow(name, f[slot], fields)

    return run


def _host(r: Request, _f: Frame) -> Value:
    return dict(r.host)


def _now(r: Request, _f: Frame) -> datetime:
    try:
        return datetime.fromtimestamp(r.now, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ConditionError(f"now: {r.now!r} s is no time of the years 1 to 9999") from error


def _failing(message: str) -> Run:
    def run(_r: Request, _f: Frame) -> Value:
        raise ConditionError(message)

    return run
