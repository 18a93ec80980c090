"""What the compiler of conditions builds: closures over a request and a frame, and their value where it is known."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from policy_core.condition.values import Value
from policy_core.request import Request

Frame: TypeAlias = list[Any]
"""State of one evaluation: the steps left, then the values of bound variables by depth of their comprehension."""
Run: TypeAlias = Callable[[Request, Frame], Value]
"""A closure that returns a value or raises ConditionError, so that ``&&`` and its like can absorb errors.

A LimitError passes through all of them."""


class _Varies:
    """Stands for a value that depends on the request."""


VARIES: Final = _Varies()


class Code(NamedTuple):
    """A compiled node; `constant` is its value where that is known before any request."""

    run: Run
    constant: Value = VARIES


def constant(value: Value) -> Code:
    """Return the code of a known value."""
    return Code(lambda _r, _f: value, value)
