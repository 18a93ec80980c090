"""What conditions (``when``) read, and those that come out the same for every request."""

from collections.abc import Iterator, Mapping
from typing import Any

from policy_core.condition import ROOTS, ConditionError, compile_condition

_REQUEST = frozenset(ROOTS) - {"data"}
_NO_REQUEST: Any = None


def fixed_value(condition: Any, data: Mapping[str, Any]) -> bool | None:
    """Return what a condition is for every request, None if that depends on the request or is an error."""
    if any(path[0] in _REQUEST for path, _ in paths_read(condition)):
        return None
    try:
        return compile_condition(condition, data)(_NO_REQUEST)
    except ConditionError:
        return None


def paths_read(node: Any) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield each path of a variable a condition reads, and whether it only asks with ``has()`` if it is there."""
    if type(node) is not list:
        return
    name = node[0]
    if name == "var":
        yield tuple(node[1:]), False
    elif name == "has" and type(node[1]) is list and node[1][0] == "var":
        yield (*node[1][1:], node[2]), True
    elif name not in ("double", "timestamp", "duration"):
        for operand in node[1:]:
            yield from paths_read(operand)
